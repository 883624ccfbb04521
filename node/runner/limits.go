package runner

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNoMemory says that the kernel ended the program because it took more memory than it may.
var ErrNoMemory = errors.New("out of memory")

// Limits are what a program may take with all that it starts. Zero values mean no limit.
type Limits struct {
	Memory int64 // bytes
	// Processes is how many there may be at the same time, threads counted. It is only kept in a control group: the
	// kernel's other limit counts all processes of a user.
	Processes int
	// Group is the name under which Groups keeps the limits; with no Groups, or no name, each process has the limit of memory
	// for itself.
	Group  string
	Groups *Groups
}

// Groups is a tree of control groups (version 2) that belongs to this program, with one for each plugin.
//
// A program is put into its group when it runs. It must not be born there: until then it shares our memory, and the kernel
// ends all who share the memory of what it ends.
type Groups struct {
	own string // that of this program, in which all are born
	dir string // holds those of the plugins
}

// cgroupFolder is where the kernel shows control groups.
const cgroupFolder = "/sys/fs/cgroup"

// OpenGroups finds the control group that systemd has delegated to this program (Delegate=yes in its unit), moves the
// program into a leaf of it, and makes room for the plugins. It changes nothing when there is no such group; the error says
// what is missing.
func OpenGroups() (*Groups, error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("find the control group: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			return openGroups(filepath.Join(cgroupFolder, path))
		}
	}
	return nil, errors.New("the kernel has no control groups of version 2")
}

// openGroups takes the control group that the program is in.
func openGroups(own string) (*Groups, error) {
	const leaf, plugins = "node", "plugins"
	top := own
	if !isDelegated(top) {
		// After a start by DelegateSubgroup=, or by ourselves before.
		if top = filepath.Dir(own); !isDelegated(top) {
			return nil, fmt.Errorf("control group %s is not delegated to the node; Delegate=yes in its unit does that", own)
		}
	}
	dir := filepath.Join(top, plugins)
	for _, folder := range []string{filepath.Join(top, leaf), dir} {
		if err := os.Mkdir(folder, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("make a control group: %w", err)
		}
	}
	if top == own {
		// A group that has limits for others below it may hold no processes itself.
		if err := writeGroup(filepath.Join(top, leaf), "cgroup.procs", strconv.Itoa(os.Getpid())); err != nil {
			return nil, err
		}
	}
	for _, folder := range []string{top, dir} {
		if err := writeGroup(folder, "cgroup.subtree_control", "+memory +pids"); err != nil {
			return nil, err
		}
	}
	return &Groups{own: filepath.Join(top, leaf), dir: dir}, nil
}

// isDelegated looks for the mark that systemd puts on what it leaves to a service.
func isDelegated(dir string) bool {
	value := make([]byte, 1)
	for _, attr := range []string{"user.delegate", "trusted.delegate"} {
		if n, err := unix.Getxattr(dir, attr, value); err == nil && n == 1 && value[0] == '1' {
			return true
		}
	}
	return false
}

func writeGroup(dir, file, value string) error {
	if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set a control group: %w", err)
	}
	return nil
}

// folder is the control group of a plugin. A name of the kernel's own files cannot be meant.
func (g *Groups) folder(name string) string { return filepath.Join(g.dir, "plugin-"+name) }

// make makes the control group of a plugin, with its limits.
func (g *Groups) make(name string, limits *Limits) error {
	if name == "" || strings.Contains(name, "/") {
		return fmt.Errorf("control group %q: not a name", name)
	}
	dir := g.folder(name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make a control group: %w", err)
	}
	most := func(n int64) string {
		if n <= 0 {
			return "max"
		}
		return strconv.FormatInt(n, 10)
	}
	if limits.Memory > 0 {
		// Kernels may lack both: one without swap, one before 4.19.
		_ = writeGroup(dir, "memory.swap.max", "0")
		_ = writeGroup(dir, "memory.oom.group", "1")
	}
	return errors.Join(writeGroup(dir, "memory.max", most(limits.Memory)), writeGroup(dir, "pids.max", most(int64(limits.Processes))))
}

// take puts a program that leads a session into its group, with all that it has started so far.
func (g *Groups) take(name string, leader int) error {
	const rounds = 10 // more than a program that is not made for it can start anew in
	dir := g.folder(name)
	if err := writeGroup(dir, "cgroup.procs", strconv.Itoa(leader)); err != nil {
		return err
	}
	for range rounds {
		text, err := os.ReadFile(filepath.Join(g.own, "cgroup.procs"))
		if err != nil {
			return fmt.Errorf("read a control group: %w", err)
		}
		found := false
		for _, word := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			if session, err := unix.Getsid(pid); err == nil && session == leader {
				found = true
				_ = writeGroup(dir, "cgroup.procs", word) // It may have ended.
			}
		}
		if !found {
			return nil
		}
	}
	return nil
}

// kills is how many processes of a plugin the kernel has ended for want of memory.
func (g *Groups) kills(name string) int {
	text, err := os.ReadFile(filepath.Join(g.folder(name), "memory.events"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			n, err := strconv.Atoi(count)
			if err != nil {
				return 0
			}
			return n
		}
	}
	return 0
}

// Remove takes away the control groups of plugins that no longer run anything.
func (g *Groups) Remove() {
	groups, err := filepath.Glob(filepath.Join(g.dir, "plugin-*"))
	if err != nil {
		return
	}
	for _, dir := range groups {
		_ = os.Remove(dir) // One with processes stays, as they do.
	}
}

// start starts the program within its limits.
func (s *Spec) start(cmd *command) error {
	l := &s.Limits
	if l.Groups != nil && l.Group != "" && l.Groups.make(l.Group, l) == nil {
		cmd.kills = l.Groups.kills(l.Group)
		if err := cmd.Start(); err != nil {
			return err
		}
		if cmd.grouped = l.Groups.take(l.Group, cmd.Process.Pid) == nil; !cmd.grouped && l.Memory > 0 {
			limitData(cmd.Process.Pid, l.Memory)
		}
		return nil
	}
	if l.Memory <= 0 {
		return cmd.Start()
	}
	return startLimited(cmd.Cmd, l.Memory)
}

// inherited guards the limit that programs inherit: the kernel has one for all of us.
var inherited sync.Mutex //nolint:gochecknoglobals // it guards something that belongs to the whole process

// startLimited starts a program with a limit for what each of its processes asks for. A new process has the limits of the
// one that made it. So ours is lowered for the moment, as far as we can bear it; the rest is done when it runs, which
// may be later than its first fork.
//
// It is a limit for what they ask for, not for what they map: some programs map more than they ever touch.
func startLimited(cmd *exec.Cmd, memory int64) error {
	inherited.Lock()
	defer inherited.Unlock()
	var before unix.Rlimit
	if ours := ownData(); ours > 0 && unix.Getrlimit(unix.RLIMIT_DATA, &before) == nil {
		lower := unix.Rlimit{Cur: min(before.Cur, max(uint64(memory), ours)), Max: before.Max}
		if unix.Setrlimit(unix.RLIMIT_DATA, &lower) == nil {
			defer func() { _ = unix.Setrlimit(unix.RLIMIT_DATA, &before) }() // One may always do that.
		}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	limitData(cmd.Process.Pid, memory)
	return nil
}

func limitData(pid int, memory int64) {
	most := unix.Rlimit{Cur: uint64(memory), Max: uint64(memory)}
	_ = unix.Prlimit(pid, unix.RLIMIT_DATA, &most, nil) // One that has ended needs no limit.
}

// ownData is as much memory as this program may need in the next moment; 0 when that is not known.
func ownData() uint64 {
	const room, dataField = 128 << 20, 5
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) <= dataField {
		return 0
	}
	pages, err := strconv.ParseUint(fields[dataField], 10, 40)
	if err != nil {
		return 0
	}
	return pages*uint64(os.Getpagesize()) + room
}

// outOfMemory says whether the kernel ended the program for want of memory. It ends the whole group then.
func (s *Spec) outOfMemory(cmd *command, result *Result) error {
	bySignal := result.ExitCode < 0 && errors.Is(result.Err, ErrExit)
	if !cmd.grouped || !bySignal || s.Limits.Groups.kills(s.Limits.Group) <= cmd.kills {
		return nil
	}
	return fmt.Errorf("%w: it took more than %d bytes with all that it started", ErrNoMemory, s.Limits.Memory)
}
