package runner_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"corbie/internal/testenv"
	"corbie/node/runner"
)

// TestMain keeps files that the test itself inherited from the plugins, as the node's main does.
func TestMain(m *testing.M) {
	_ = unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) // An old kernel cannot; one test will say so.
	m.Run()
}

// sh runs a script with the shell, with limits that suit a test.
func sh(t *testing.T, script string, change ...func(*runner.Spec)) runner.Result {
	t.Helper()
	spec := runner.Spec{
		Path: "/bin/sh", Args: []string{"-c", script}, Env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"},
		Timeout: 10 * time.Second, Grace: 200 * time.Millisecond, Linger: 100 * time.Millisecond,
	}
	for _, f := range change {
		f(&spec)
	}
	return runner.Run(t.Context(), spec)
}

func timeout(d time.Duration) func(*runner.Spec) {
	return func(s *runner.Spec) { s.Timeout = d }
}

func TestRunBringsBackBothOutputsAndTheExitCode(t *testing.T) {
	got := sh(t, `echo out; echo first >&2; echo last >&2; exit 3`)
	if string(got.Stdout) != "out\n" || !slices.Equal(got.Stderr, []string{"first", "last"}) || got.ExitCode != 3 {
		t.Errorf("got %q, %q, exit %d", got.Stdout, got.Stderr, got.ExitCode)
	}
	if !errors.Is(got.Err, runner.ErrExit) || !strings.Contains(got.Err.Error(), "exit status 3") {
		t.Errorf("err = %v", got.Err)
	}
	if good := sh(t, `echo fine`); good.Err != nil || good.ExitCode != 0 || good.TimedOut || good.Duration <= 0 {
		t.Errorf("a good run: %+v", good)
	}
}

func TestAPluginKilledByASignalIsABadExit(t *testing.T) {
	got := sh(t, `kill -SEGV $$`)
	if !errors.Is(got.Err, runner.ErrExit) || got.ExitCode != -1 || !strings.Contains(got.Err.Error(), "segmentation") {
		t.Errorf("got %+v", got)
	}
}

func TestAPluginStartsInACleanPlace(t *testing.T) {
	got := sh(t, `pwd; readlink /proc/self/fd/0; ls /proc/self/fd | wc -l; ps -o pid=,pgid=,sid= -p $$; env`, func(s *runner.Spec) {
		s.Env = []string{"PATH=/usr/bin:/bin", "A=1", "A=2"}
	})
	lines := strings.Split(strings.TrimSpace(string(got.Stdout)), "\n")
	if len(lines) < 5 {
		t.Fatalf("got %q, %v", got.Stdout, got.Err)
	}
	// ls has the three standard files and the folder it reads.
	if lines[0] != "/" || lines[1] != "/dev/null" || lines[2] != "4" {
		t.Errorf("working directory, standard input, open files: %q", lines[:3])
	}
	ids := strings.Fields(lines[3])
	if ids[0] != ids[1] || ids[0] != ids[2] {
		t.Errorf("pid, process group, session: %q: the plugin does not lead its own", ids)
	}
	if env := lines[4:]; !slices.Contains(env, "A=2") || slices.Contains(env, "A=1") || len(env) > 3 {
		t.Errorf("environment: %q", env)
	}
}

func TestAPluginThatIgnoresTermIsKilledWithItsChildren(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	begin := time.Now()
	got := sh(t, `trap "" TERM HUP; (trap "" TERM HUP; while :; do sleep 1; done) & echo $$ $! >`+pids+`; echo x; while :; do sleep 1; done`,
		timeout(300*time.Millisecond))
	if !got.TimedOut || !errors.Is(got.Err, runner.ErrTimedOut) {
		t.Errorf("got %+v", got)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range strings.Fields(string(text)) {
		awaitDeath(t, word)
	}
}

// awaitDeath waits until a process is gone, or a zombie that its new parent has yet to reap.
func awaitDeath(t *testing.T, pid string) {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.After(testenv.Patience)
	for {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		select {
		case <-deadline:
			_ = syscall.Kill(n, syscall.SIGKILL)
			t.Errorf("process %s lives on", pid)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestAPluginThatTidiesUpOnTermGetsTheTimeForIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tidied")
	got := sh(t, `trap "echo tidy > `+file+`; exit 0" TERM HUP; while :; do sleep 0.05; done`, timeout(200*time.Millisecond),
		func(s *runner.Spec) { s.Grace = 5 * time.Second })
	if !got.TimedOut {
		t.Errorf("got %+v", got)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	if got.Duration > 4*time.Second {
		t.Errorf("the whole grace was waited for: %v", got.Duration)
	}
}

func TestAChildThatKeepsThePipeDoesNotHoldUpTheAnswer(t *testing.T) {
	got := sh(t, `sleep 60 & echo "pid.value $!"`)
	if got.Err != nil || got.Duration > 5*time.Second {
		t.Errorf("got %+v", got)
	}
	value, ok := strings.CutPrefix(strings.TrimSpace(string(got.Stdout)), "pid.value ")
	if !ok {
		t.Fatalf("stdout %q", got.Stdout)
	}
	pid, err := strconv.Atoi(value)
	if err != nil {
		t.Fatal(err)
	}
	// A plugin may leave a collector behind on purpose, so it lives until the test ends it.
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Errorf("the background process was ended: %v", err)
	}
}

func TestAllThatThePluginWroteIsReadEvenWhenAChildKeepsThePipe(t *testing.T) {
	got := sh(t, `sleep 60 & pid=$!; i=0; while [ $i -lt 4000 ]; do echo "field$i.value $i"; i=$((i+1)); done; echo "pid.value $pid"`)
	lines := strings.Split(strings.TrimSpace(string(got.Stdout)), "\n")
	if len(lines) != 4001 {
		t.Fatalf("%d lines, %v", len(lines), got.Err)
	}
	if pid, err := strconv.Atoi(strings.TrimPrefix(lines[4000], "pid.value ")); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

func TestAPluginThatPrintsForEverIsEndedAtTheLimit(t *testing.T) {
	got := sh(t, `exec cat /dev/zero`, func(s *runner.Spec) { s.MaxOutput = 1 << 20 })
	if !errors.Is(got.Err, runner.ErrTooMuchOutput) || len(got.Stdout) > 1<<20 || got.TimedOut {
		t.Errorf("%d bytes, %v", len(got.Stdout), got.Err)
	}
	hundred := sh(t, `head -c 100000000 /dev/zero`)
	if !errors.Is(hundred.Err, runner.ErrTooMuchOutput) || len(hundred.Stdout) > runner.DefaultMaxOutput {
		t.Errorf("%d bytes, %v", len(hundred.Stdout), hundred.Err)
	}
}

func TestEndlessComplaintsKeepOnlyTheirEnd(t *testing.T) {
	got := sh(t, `i=0; while [ $i -lt 20000 ]; do echo "complaint $i" >&2; i=$((i+1)); done; echo x.value 1`)
	if got.Err != nil || string(got.Stdout) != "x.value 1\n" {
		t.Fatalf("stdout %q, %v", got.Stdout, got.Err)
	}
	if n := len(got.Stderr); n == 0 || n > 100 || got.Stderr[n-1] != "complaint 19999" {
		t.Errorf("%d lines of stderr, the last %q", n, got.Stderr[max(0, n-1):])
	}
}

func TestAPluginThatClosesStderrKeepsItsOutput(t *testing.T) {
	got := sh(t, `exec 2>&-; sleep 0.1; echo a.value 1; sleep 0.1; echo b.value 2`)
	if string(got.Stdout) != "a.value 1\nb.value 2\n" || got.Err != nil {
		t.Errorf("got %q, %v", got.Stdout, got.Err)
	}
}

func TestAPluginThatClosesStdoutMayStillEndWell(t *testing.T) {
	if got := sh(t, `echo a.value 1; exec >&-; sleep 0.1`); string(got.Stdout) != "a.value 1\n" || got.Err != nil {
		t.Errorf("got %q, %v", got.Stdout, got.Err)
	}
}

func TestBinaryOutputComesBackUnchanged(t *testing.T) {
	want := make([]byte, 200_000)
	for i := range want {
		want[i] = byte(i * 7)
	}
	file := filepath.Join(t.TempDir(), "binary")
	if err := os.WriteFile(file, want, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := sh(t, "cat "+file); !bytes.Equal(got.Stdout, want) || got.Err != nil {
		t.Errorf("%d bytes, %v", len(got.Stdout), got.Err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	got := runner.Run(ctx, runner.Spec{Path: "/bin/sleep", Args: []string{"60"}, Grace: 100 * time.Millisecond})
	if !errors.Is(got.Err, context.DeadlineExceeded) || got.TimedOut || got.Duration > 5*time.Second {
		t.Errorf("got %+v", got)
	}
}

func TestWhatCannotBeStartedIsExplained(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct{ path, want string }{
		"a missing file":             {filepath.Join(dir, "nothing"), "no such file"},
		"a file that is not allowed": {write("plain", "#!/bin/sh\n", 0o644), "permission denied"},
		"a file without #!":          {write("text", "hello\n", 0o755), "#!/bin/sh"},
		"a missing interpreter":      {write("perl", "#!/no/such/perl\n", 0o755), "interpreter"},
		"a name that is in no PATH":  {"no-such-program", "PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			got := runner.Run(t.Context(), runner.Spec{Path: test.path, Env: []string{"PATH=/usr/bin:/bin"}})
			if got.Err == nil || !strings.Contains(got.Err.Error(), test.want) || got.ExitCode != -1 {
				t.Errorf("err = %v, exit %d; want %q", got.Err, got.ExitCode, test.want)
			}
		})
	}
}

func TestAPluginBecomesTheUserAndExactlyTheGroupsAsked(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	id, err := runner.Lookup(t.Context(), "nobody", []runner.Group{{Name: "adm"}, {Name: "no-such-group", Optional: true}, {Name: "12345"}})
	if err != nil {
		t.Fatal(err)
	}
	got := sh(t, `id -u; id -g; id -G`, func(s *runner.Spec) { s.Identity = id })
	if want := "65534\n4\n4 12345\n"; string(got.Stdout) != want {
		t.Errorf("got %q, want %q; %v %q", got.Stdout, want, got.Err, got.Stderr)
	}
	own, err := runner.Lookup(t.Context(), "nobody", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := sh(t, `id -G`, func(s *runner.Spec) { s.Identity = own }); string(got.Stdout) != "65534\n" {
		t.Errorf("without a group: %q", got.Stdout)
	}
}

func TestUsersAndGroupsThatDoNotExistAreNamed(t *testing.T) {
	if _, err := runner.Lookup(t.Context(), "no-such-user", nil); err == nil || !strings.Contains(err.Error(), "user no-such-user") {
		t.Errorf("err = %v", err)
	}
	_, err := runner.Lookup(t.Context(), "root", []runner.Group{{Name: "no-such-group"}})
	if err == nil || !strings.Contains(err.Error(), "group no-such-group") {
		t.Errorf("err = %v", err)
	}
}

func TestManyRunsLeaveNoFilesOpen(t *testing.T) {
	open := func() int {
		files, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(files)
	}
	sh(t, `echo warm`)
	before := open()
	for range 20 {
		sh(t, `echo x; echo y >&2`)
		runner.Run(t.Context(), runner.Spec{Path: "/no/such/file"})
	}
	sh(t, `sleep 60`, timeout(50*time.Millisecond))
	if after := open(); after > before+1 { // The runtime may have opened a poller in between.
		t.Errorf("%d files open before, %d after", before, after)
	}
}
