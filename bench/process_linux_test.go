package bench

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	self := process(os.Getpid())
	before, err := self.cpu()
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(10 * time.Second)
	for time.Now().Before(end) { // until the clock of processors has gone on
		if after, _ := self.cpu(); after >= before+5*tick {
			break
		}
	}
	if after, _ := self.cpu(); after < before+5*tick || after > before+time.Minute {
		t.Errorf("the CPU time was %v and is %v", before, after)
	}
	if own := ownCPU(); own <= 0 {
		t.Errorf("by its own account it is %v", own)
	}
	m, err := self.memory()
	if err != nil || m.PSS <= 0 || m.RSS < m.PSS || m.RSS > 10<<30 {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := process(1 << 30).cpu(); err == nil {
		t.Error("a process that is not there has CPU time")
	}
}

// What the kernel holds for connections is within what it holds at all.
func TestKernelMemory(t *testing.T) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Skip(err)
	}
	var total int64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &total); err != nil {
		t.Fatal(err)
	}
	if got := kernelMemory(); got < 1<<20 || got > total<<10 {
		t.Errorf("%d bytes, of %d KiB that there are", got, total)
	}
}

// A server's children count as it does.
func TestFamily(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	times := make(map[int]int)
	for _, pid := range process(os.Getpid()).family() {
		times[pid]++
	}
	if times[os.Getpid()] != 1 || times[cmd.Process.Pid] != 1 {
		t.Errorf("the test is in it %d times, and its child %d times, want once each", times[os.Getpid()], times[cmd.Process.Pid])
	}
}

func TestOwner(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Log(err) // there is no IPv6, perhaps
			continue
		}
		port := l.Addr().(*net.TCPAddr).Port
		if got := owner(port); got != process(os.Getpid()) {
			t.Errorf("%s belongs to %d, want %d", l.Addr(), got, os.Getpid())
		}
		l.Close()
		if got := owner(port); got != 0 {
			t.Errorf("nobody listens at %d any more, and it belongs to %d", port, got)
		}
	}
}

// A child ends with the process that has started it, even if that is killed:
// the kernel sees to it. Here it is asked whether it will.
func TestChildDiesWithUs(t *testing.T) {
	attr := diesWithUs()
	if attr.Pdeathsig == 0 {
		t.Error("nothing ends it")
	}
}
