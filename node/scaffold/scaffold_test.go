package scaffold_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"corbie/node/lint"
	"corbie/node/scaffold"
)

func TestNamesThatWouldSurpriseAreRefused(t *testing.T) {
	for _, name := range []string{"queue", "mail_queue", "Q2", "_x"} {
		files, err := scaffold.Files(name)
		if err != nil || len(files) != 2 || files[0].Name != name || files[1].Name != name+".test" {
			t.Errorf("%s: %v, %v", name, files, err)
		}
		for _, file := range files {
			if strings.Contains(file.Text, "@") && strings.Contains(file.Text, "@NAME@") {
				t.Errorf("%s still holds a placeholder", file.Name)
			}
		}
	}
	for _, name := range []string{"", "if_", "2x", "a b", "../x", "a/b", "a.conf", "a-b", "é", "$(x)", strings.Repeat("x", 61)} {
		if files, err := scaffold.Files(name); err == nil || files != nil {
			t.Errorf("%q is taken for a name", name)
		}
	}
}

// TestANewPluginHasNothingToMend runs it with the library of functions and without.
func TestANewPluginHasNothingToMend(t *testing.T) {
	shells := []string{"sh"}
	for _, other := range []string{"dash", "bash", "busybox"} {
		if _, err := exec.LookPath(other); err == nil {
			shells = append(shells, other)
		}
	}
	library := t.TempDir()
	if err := os.Symlink(abs(t, "../../plugins/sh"), filepath.Join(library, "plugins")); err != nil {
		t.Fatal(err)
	}
	for _, shell := range shells {
		for _, libdir := range []string{library, "/nowhere", ""} {
			files, err := scaffold.Files("queue")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "queue")
			if err := os.WriteFile(path, []byte(files[0].Text), 0o600); err != nil {
				t.Fatal(err)
			}
			run := func(args ...string) lint.Run {
				words := append([]string{path}, args...)
				if shell == "busybox" {
					words = append([]string{"sh"}, words...)
				}
				cmd := exec.CommandContext(context.Background(), shell, words...)
				cmd.Env = append(os.Environ(), "MUNIN_LIBDIR="+libdir)
				out, err := cmd.Output()
				return lint.Run{Output: out, Err: err}
			}
			autoconf := run("autoconf")
			found := lint.Check(lint.Subject{
				Name: "queue", File: []byte(files[0].Text), Config: run("config"), Values: run(), Autoconf: &autoconf,
			})
			if len(found) > 0 {
				t.Errorf("%s, MUNIN_LIBDIR=%s: %v", shell, libdir, found)
			}
		}
	}
}

func abs(t *testing.T, path string) string {
	t.Helper()
	full, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return full
}
