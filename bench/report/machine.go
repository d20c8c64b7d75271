package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A machine is what everything was measured on. It has no name.
type machine struct {
	CPU    string
	Cores  int
	Memory float64 // GB
	Kernel string
	Go     string
	Date   string
	Began  string // load average
	Ended  string
	Took   time.Duration
	Commit string
}

func thisMachine() machine {
	m := machine{CPU: "unknown", Cores: runtime.NumCPU(), Kernel: runtime.GOOS, Go: runtime.Version(), Date: time.Now().UTC().Format("2 January 2006"), Began: load()}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.Join(strings.Fields(value), " ")
			break
		}
	}
	text, _ = os.ReadFile("/proc/meminfo")
	var kib float64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %f kB", &kib); err == nil {
		m.Memory = kib * 1024 / 1e9
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		release, _, _ := strings.Cut(strings.TrimSpace(string(text)), "-") // what follows may be anybody's name
		m.Kernel = "Linux " + release
	}
	return m
}

// load is the load average of the last minute, five and fifteen.
func load() string {
	text, _ := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); len(fields) > 2 {
		return strings.Join(fields[:3], ", ")
	}
	return "unknown"
}

// quiet reports whether there was little else to do, when it began.
func (m machine) quiet() bool {
	first, _, _ := strings.Cut(m.Began, ",")
	n, err := strconv.ParseFloat(first, 64)
	return err == nil && n < 0.5
}
