package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"corbie/internal/testenv"
)

func TestNobodyWritesIntoTheDataFolderOfAnother(t *testing.T) {
	testenv.Root(t) // to have folders of two users
	const nobody = 65534
	top := testenv.PublicDir(t)
	data, conf := filepath.Join(top, "data"), filepath.Join(top, "corbie.yml")
	testenv.WriteFile(t, conf, "data: "+data+"\nlisten: 127.0.0.1:0\n", 0o644)
	mustCorbie(t, "import", "munin", "--dbdir", muninDB(t, 1_790_000_000/86400*86400), "--config", conf)
	if err := os.Chmod(data, 0o750); err != nil {
		t.Fatal(err)
	}
	asNobody := func(args ...string) string {
		program, err := exec.LookPath("corbie")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(program)
		if err != nil {
			t.Fatal(err)
		}
		reachable := filepath.Join(top, "corbie")
		testenv.WriteFile(t, reachable, string(text), 0o755)
		cmd := exec.CommandContext(t.Context(), reachable, append(args, "--config", conf)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	if out := asNobody("hosts"); !strings.Contains(out, "sudo -u root corbie") {
		t.Errorf("nobody is told %q", out)
	}
	if out := asNobody("serve"); !strings.Contains(out, "belongs to the user root") {
		t.Errorf("nobody is told %q", out)
	}

	if err := filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, nobody, nobody)
	}); err != nil {
		t.Fatal(err)
	}
	for _, verb := range [][]string{{"serve"}, {"import", "munin", "--dbdir", muninDB(t, 1_790_000_000/86400*86400)}, {"restore", top}} {
		_, talk, code := corbie(t, append(verb, "--config", conf)...)
		if code != exitFailed || !strings.Contains(talk, "sudo -u nobody corbie") {
			t.Errorf("%v: exit %d: %s", verb, code, talk)
		}
	}
	// What only reads may be done by root, and leaves nothing behind that is root's.
	mustCorbie(t, "export", "www1", "multi.sub", "--config", conf)
	if err := filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
		if _, mine := ownerOf(path); mine && err == nil {
			t.Errorf("%s is root's now", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
