package runner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"corbie/node/runner"
)

// hog is a script that asks for 200 MB and says a value when it got them.
const hog = `head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null && echo x.value 1`

func TestAProcessThatAsksForTooMuchMemoryDoesNotGetIt(t *testing.T) {
	// It is never touched, so that it costs nothing to get it.
	const asks = `dd if=/dev/null of=/dev/null bs=%dM count=1 2>&1 && echo x.value 1`
	for range 5 {
		for _, megabytes := range []int{2000, 5000} {
			got := sh(t, fmt.Sprintf(asks, megabytes), func(s *runner.Spec) { s.Limits.Memory = 64 << 20 })
			if got.Err == nil || strings.Contains(string(got.Stdout), "x.value 1\n") || !strings.Contains(string(got.Stdout), "memory") {
				t.Fatalf("it got %d MB: %q, %v", megabytes, got.Stdout, got.Err)
			}
		}
	}
	for _, memory := range []int64{0, 512 << 20} {
		got := sh(t, fmt.Sprintf(asks, 256), func(s *runner.Spec) { s.Limits.Memory = memory })
		if got.Err != nil || !strings.Contains(string(got.Stdout), "x.value 1\n") {
			t.Errorf("with a limit of %d: %q, %v", memory, got.Stdout, got.Err)
		}
	}
	var ours unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &ours); err != nil || ours.Cur < 1<<40 {
		t.Errorf("our own limit is %d now, %v", ours.Cur, err)
	}
}

func TestAControlGroupThatIsNotDelegatedIsLeftAlone(t *testing.T) {
	own := filepath.Join(t.TempDir(), "somebodys.service")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	if groups, err := runner.OpenGroupsIn(own); err == nil || groups != nil || !strings.Contains(err.Error(), "Delegate=yes") {
		t.Errorf("got %v, %v", groups, err)
	}
	if files, err := os.ReadDir(own); err != nil || len(files) != 0 {
		t.Errorf("there is %v, %v", files, err)
	}
}

// TestADelegatedGroupIsDivided writes into a folder like those of the kernel.
func TestADelegatedGroupIsDivided(t *testing.T) {
	own := t.TempDir()
	if err := unix.Setxattr(own, "user.delegate", []byte("1"), 0); err != nil {
		t.Skipf("the file system has no attributes: %v", err)
	}
	groups, err := runner.OpenGroupsIn(own)
	if err != nil {
		t.Fatal(err)
	}
	got := sh(t, `echo x.value 1`, func(s *runner.Spec) {
		s.Limits = runner.Limits{Memory: 64 << 20, Processes: 7, Group: "load", Groups: groups}
	})
	if string(got.Stdout) != "x.value 1\n" || got.Err != nil {
		t.Errorf("got %q, %v", got.Stdout, got.Err)
	}
	for file, want := range map[string]string{
		"node/cgroup.procs": fmt.Sprint(os.Getpid()), "cgroup.subtree_control": "+memory +pids", "plugins/cgroup.subtree_control": "+memory +pids",
		"plugins/plugin-load/memory.max": "67108864", "plugins/plugin-load/pids.max": "7", "plugins/plugin-load/memory.swap.max": "0",
	} {
		if text, err := os.ReadFile(filepath.Join(own, file)); string(text) != want {
			t.Errorf("%s is %q, want %q, %v", file, text, want, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(own, "plugins/plugin-load/cgroup.procs")); err != nil || len(text) == 0 {
		t.Errorf("the plugin was not put into its group: %q, %v", text, err)
	}
	again, err := runner.OpenGroupsIn(filepath.Join(own, "node")) // as the next program in its place
	if err != nil || again == nil {
		t.Errorf("opened again: %v", err)
	}
}

// TestAControlGroupHoldsAPluginWithAllThatItStarts needs a kernel whose groups of version 2 have memory, and root.
func TestAControlGroupHoldsAPluginWithAllThatItStarts(t *testing.T) {
	if own := os.Getenv("RUNNER_GROUP"); own != "" {
		inGroup(t, own)
		return
	}
	controllers, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers")
	if err != nil || !strings.Contains(string(controllers), "memory") || os.Getuid() != 0 {
		t.Skipf("no control groups of version 2 with memory, or not root: %q, %v", controllers, err)
	}
	own := filepath.Join("/sys/fs/cgroup", fmt.Sprintf("corbie-test-%d.service", os.Getpid()))
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Skipf("control groups cannot be made here: %v", err)
	}
	t.Cleanup(func() {
		for _, dir := range []string{"plugins/plugin-hog", "plugins/plugin-bomb", "plugins/plugin-left", "plugins", "node", "."} {
			_ = os.Remove(filepath.Join(own, dir)) // Most are gone already.
		}
	})
	err = errors.Join(os.WriteFile("/sys/fs/cgroup/cgroup.subtree_control", []byte("+memory +pids"), 0o644),
		unix.Setxattr(own, "trusted.delegate", []byte("1"), 0))
	if err != nil {
		t.Skipf("control groups cannot be delegated here: %v", err)
	}
	group, err := os.Open(own)
	if err != nil {
		t.Fatal(err)
	}
	defer group.Close()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), "RUNNER_GROUP="+own)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(group.Fd())}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Error(err)
	}
}

// inGroup is the test in a program that systemd would have put into a group of its own.
func inGroup(t *testing.T, own string) {
	t.Helper()
	groups, err := runner.OpenGroupsIn(own)
	if err != nil {
		t.Fatal(err)
	}
	within := func(name string, processes int) func(*runner.Spec) {
		return func(s *runner.Spec) {
			s.Limits = runner.Limits{Memory: 64 << 20, Processes: processes, Group: name, Groups: groups}
		}
	}
	got := sh(t, hog, within("hog", 20))
	if !errors.Is(got.Err, runner.ErrNoMemory) || len(got.Stdout) > 0 {
		t.Errorf("200 MB of 64: %q, %v", got.Stdout, got.Err)
	}
	if got := sh(t, `echo x.value 1; exit 3`, within("hog", 20)); !errors.Is(got.Err, runner.ErrExit) {
		t.Errorf("a bad exit after that: %v", got.Err)
	}
	got = sh(t, `i=0; while [ $i -lt 2000 ]; do sleep 5 & i=$((i+1)); done; echo x.value 1`, within("bomb", 20))
	if got.Err == nil {
		t.Errorf("2000 processes of 20: %q, %q", got.Stdout, got.Stderr)
	}
	left := sh(t, `sleep 100 >/dev/null 2>&1 & echo $!; cat /proc/self/cgroup`, within("left", 20))
	if !strings.Contains(string(left.Stdout), "/plugins/plugin-left") {
		t.Errorf("it is in %q, %v", left.Stdout, left.Err)
	}
	groups.Remove()
	if _, err := os.Stat(filepath.Join(own, "plugins/plugin-hog")); err == nil {
		t.Error("an empty group is not removed")
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	for _, name := range []string{"left", "bomb"} {
		_ = os.WriteFile(filepath.Join(own, "plugins/plugin-"+name, "cgroup.kill"), []byte("1"), 0o644) // The test's own leavings.
	}
	for ctx.Err() == nil {
		groups.Remove()
		if rest, _ := filepath.Glob(filepath.Join(own, "plugins/plugin-*")); len(rest) == 0 {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	t.Error("the groups stay")
}
