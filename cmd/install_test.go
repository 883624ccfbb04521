package cmd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"corbie/internal/testenv"
	"corbie/master/config"
	"corbie/node"
)

// install runs what "make install" runs, with programs that only say what a shell should complete.
func install(t *testing.T, dest string) string {
	t.Helper()
	bin := t.TempDir()
	for _, name := range []string{"corbie", "corbie-node"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho \"# $2 completion of "+name+"\"\n"), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "../.ci/install")
	cmd.Env = append(os.Environ(), "DESTDIR="+dest, "PREFIX=/usr", "BIN="+bin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	return string(out)
}

func TestInstallPutsEverythingInItsPlace(t *testing.T) {
	dest := t.TempDir()
	if out := install(t, dest); out != "" {
		t.Errorf("a package's build says %q", out)
	}
	for path, mode := range map[string]os.FileMode{
		"usr/bin/corbie":                                  0o755,
		"usr/bin/corbie-node":                             0o755,
		"usr/lib/systemd/system/corbie.service":           0o644,
		"usr/lib/systemd/system/corbie-node.service":      0o644,
		"usr/lib/systemd/system/corbie-node.socket":       0o644,
		"usr/lib/sysusers.d/corbie.conf":                  0o644,
		"usr/share/corbie/plugins/plugin.sh":              0o644,
		"usr/share/corbie/plugins/cert_days":              0o755,
		"usr/share/doc/corbie/examples/corbie.yml":        0o644,
		"usr/share/doc/corbie/docs/master.md":             0o644,
		"usr/share/bash-completion/completions/corbie":    0o644,
		"usr/share/zsh/site-functions/_corbie-node":       0o644,
		"usr/share/fish/vendor_completions.d/corbie.fish": 0o644,
		"etc/corbie/corbie.yml":                           0o644,
		"etc/corbie/node.conf":                            0o644,
		"etc/corbie/plugins":                              0o755 | os.ModeDir,
		"etc/corbie/plugin-conf.d":                        0o750 | os.ModeDir,
	} {
		if info, err := os.Stat(filepath.Join(dest, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v; want %v", path, info, err, mode)
		}
	}
	if shipped, _ := filepath.Glob(filepath.Join(dest, "usr/share/corbie/plugins/*.go")); len(shipped) > 0 {
		t.Errorf("tests are installed: %v", shipped)
	}
	if text, err := os.ReadFile(filepath.Join(dest, "usr/share/bash-completion/completions/corbie")); string(text) != "# bash completion of corbie\n" {
		t.Errorf("completion: %q, %v", text, err)
	}
}

func TestInstallKeepsWhatIsConfigured(t *testing.T) {
	dest := t.TempDir()
	install(t, dest)
	path := filepath.Join(dest, "etc/corbie/corbie.yml")
	if err := os.WriteFile(path, []byte("interval: 1m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := install(t, dest); !strings.Contains(out, path+" is there and stays as it is") {
		t.Errorf("the second time it says %q", out)
	}
	if text, err := os.ReadFile(path); string(text) != "interval: 1m\n" {
		t.Errorf("%s holds %q, %v", path, text, err)
	}
}

func TestInstallWithoutProgramsSaysWhatToDo(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "../.ci/install")
	cmd.Env = append(os.Environ(), "DESTDIR="+t.TempDir(), "BIN="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err == nil || !bytes.Contains(out, []byte("make build")) {
		t.Errorf("%v: %s", err, out)
	}
}

func TestSampleConfigurationsAreValid(t *testing.T) {
	conf, err := config.Load("../.ci/etc/corbie.yml", config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if len(conf.Hosts) != 0 {
		t.Errorf("the sample watches %d hosts", len(conf.Hosts))
	}
	// With its examples taken out of their comments, it has to hold as well.
	var text strings.Builder
	for line := range strings.Lines(strings.Replace(read(t, ".ci/etc/corbie.yml"), "hosts: {}", "hosts:", 1)) {
		example, commented := strings.CutPrefix(line, "#")
		if commented && !strings.HasPrefix(example, " ") || strings.HasPrefix(example, "  ") {
			line = example
		}
		text.WriteString(line)
	}
	examples := strings.Replace(text.String(), "munin_conf:", "#", 1)
	if conf, err = config.Parse("corbie.yml", []byte(examples), config.Flags{}); err != nil {
		t.Fatalf("%v\n%s", err, examples)
	}
	if len(conf.Hosts) != 2 || len(conf.Receivers) != 1 {
		t.Errorf("the examples are %d hosts and %d receivers:\n%s", len(conf.Hosts), len(conf.Receivers), examples)
	}
	if _, err := node.LoadConfig("../.ci/etc/node.conf"); err != nil {
		t.Error(err)
	}
}

// systemd reads the units as they are installed, with programs that it finds.
func TestTheInstalledUnitsAreWhatSystemdUnderstands(t *testing.T) {
	analyze := testenv.Program(t, "systemd-analyze")
	dest := t.TempDir()
	install(t, dest)
	folder := filepath.Join(dest, "usr/lib/systemd/system")
	units := []string{"corbie.service", "corbie-node.service", "corbie-node.socket"}
	for i, name := range units {
		units[i] = filepath.Join(folder, name)
		text, err := os.ReadFile(units[i])
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".service") && !bytes.Contains(text, []byte("ExecStart=/usr/bin/corbie")) {
			t.Errorf("%s does not start what was installed", name)
		}
		text = bytes.ReplaceAll(text, []byte("=/usr/bin/corbie"), []byte("="+dest+"/usr/bin/corbie"))
		if err := os.WriteFile(units[i], text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), analyze, append([]string{"verify"}, units...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	// As it is, and with what may be closed besides: a service without any precaution has 9.6 of 10.
	master := units[0]
	judge(t, analyze, master, "70")
	text, err := os.ReadFile(master)
	if err != nil {
		t.Fatal(err)
	}
	var closed strings.Builder
	for line := range strings.Lines(string(text)) {
		if setting, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(setting, " ") && strings.TrimSpace(setting) != "" {
			line = setting
		}
		closed.WriteString(line)
	}
	if err := os.WriteFile(master, []byte(closed.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", master).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify, closed: %v\n%s", err, out)
	}
	judge(t, analyze, master, "30")
}

func judge(t *testing.T, analyze, unit, threshold string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold="+threshold, unit).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
