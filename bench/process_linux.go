package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A process is a server on this machine, with all its children.
type process int

// ticks are the units of /proc/PID/stat: a hundred in a second, on every
// machine that Go runs on.
const tick = 10 * time.Millisecond

// A stat is what /proc/PID/stat says of a process.
type stat struct {
	parent int
	cpu    time.Duration // its own, and of children that have ended
}

func readStat(pid int) (s stat, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	_, rest, ok := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ") // its name may have anything in it
	fields := strings.Fields(rest)
	if !ok || len(fields) < 15 {
		return s, fmt.Errorf("/proc/%d/stat makes no sense", pid)
	}
	s.parent, _ = strconv.Atoi(fields[1])
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return s, err
		}
		s.cpu += time.Duration(n) * tick
	}
	return s, nil
}

// family is the process and its descendants.
func (p process) family() (all []int) {
	children := make(map[int][]int)
	paths, _ := filepath.Glob("/proc/[0-9]*")
	for _, path := range paths {
		pid, _ := strconv.Atoi(filepath.Base(path))
		if s, err := readStat(pid); err == nil {
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	all = []int{int(p)}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all
}

// cpu is the time of processors that the process has used, its children's with it.
func (p process) cpu() (sum time.Duration, err error) {
	for _, pid := range p.family() {
		s, err := readStat(pid)
		if err != nil && pid == int(p) {
			return 0, err
		}
		sum += s.cpu
	}
	return sum, nil
}

func (p process) memory() (m Memory, err error) {
	for _, pid := range p.family() {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil && pid == int(p) {
			return m, err
		}
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(line, ":")
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			switch name {
			case "Rss":
				m.RSS += kib << 10
			case "Pss":
				m.PSS += kib << 10
			}
		}
	}
	return m, nil
}

// kernelMemory is what the kernel of this machine holds for itself, as far as
// connections matter: its objects, and what is under way in TCP.
func kernelMemory() (bytes int64) {
	text, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "Slab:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			bytes += kib << 10
		}
	}
	text, _ = os.ReadFile("/proc/net/sockstat")
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if i := slices.Index(fields, "mem"); len(fields) > 0 && fields[0] == "TCP:" && i > 0 && i+1 < len(fields) {
			pages, _ := strconv.ParseInt(fields[i+1], 10, 64)
			bytes += pages * int64(os.Getpagesize())
		}
	}
	return bytes
}

// owner is the process that listens on a port of this machine; of several, the
// one that has started the others. 0: nobody that we may look at.
func owner(port int) process {
	inodes := make(map[string]bool)
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			const listening = "0A"
			if len(fields) > 9 && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) && fields[3] == listening {
				inodes["socket:["+fields[9]+"]"] = true
			}
		}
	}
	owners := make(map[int]bool)
	paths, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, path := range paths {
		if to, err := os.Readlink(path); err == nil && inodes[to] {
			pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
			owners[pid] = true
		}
	}
	for pid := range owners {
		if s, err := readStat(pid); err == nil && !owners[s.parent] {
			return process(pid)
		}
	}
	return 0
}
