package main_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
)

const (
	debianConfigure = "/usr/sbin/munin-node-configure"
	debianLibrary   = "/usr/share/munin/plugins"
)

// verdict is one line of a table of suggestions.
type verdict struct {
	used, answer string
	instances    []string // sorted
}

// runConfigure runs one of the two programs. Both end with 1 when a plugin is broken, as some of Debian's are.
func runConfigure(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(stderr.String(), "caused errors:")) {
		t.Fatalf("%s %q: %v\n%s", program, args, err, stderr.String())
	}
	return stdout.String()
}

func readVerdicts(t *testing.T, table string) map[string]verdict {
	t.Helper()
	verdicts := make(map[string]verdict)
	for _, line := range strings.Split(table, "\n")[2:] {
		name, rest, ok := strings.Cut(line, " |")
		used, answer, ok2 := strings.Cut(rest, " | ")
		if !ok || !ok2 {
			continue
		}
		v := verdict{used: strings.TrimSpace(used), answer: strings.TrimSpace(answer)}
		if yes, instances, ok := strings.Cut(strings.TrimSuffix(v.answer, ")"), " ("); ok && yes == "yes" {
			v.answer, v.instances = yes, strings.Fields(instances)
			slices.Sort(v.instances)
		}
		verdicts[strings.TrimSpace(name)] = v
	}
	return verdicts
}

// TestSuggestsWhatMuninNodeConfigureSuggests asks all of Debian's plugins for their opinion through both programs.
func TestSuggestsWhatMuninNodeConfigureSuggests(t *testing.T) {
	t.Parallel()
	_, err := os.Stat(debianConfigure)
	testenv.Need(t, "munin-node-configure (Debian's munin-node)", err == nil)
	testenv.Need(t, "root, to run plugins as others", os.Getuid() == 0)
	services := t.TempDir()
	for name, plugin := range map[string]string{"cpu": "cpu", "if_stale0": "if_", "uptime": "uptime", "acpi": "acpi", "alias": "load"} {
		if err := os.Symlink(filepath.Join(debianLibrary, plugin), filepath.Join(services, name)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--suggest", "--families", "auto,manual,contrib,test", "--servicedir", services}
	begin := time.Now()
	theirs := readVerdicts(t, runConfigure(t, debianConfigure, args...))
	theirTime := time.Since(begin)
	args = append([]string{"configure", "--config", "/etc/munin/munin-node.conf", "--libdir", debianLibrary, "--scripts"}, args...)
	begin = time.Now()
	ours := readVerdicts(t, runConfigure(t, "corbie-node", args...))
	ourTime := time.Since(begin)
	if len(theirs) < 150 || len(ours) != len(theirs) {
		t.Errorf("%d plugins here, %d there", len(ours), len(theirs))
	}
	yes := 0
	for name, want := range theirs {
		got := ours[name]
		if want.answer == "yes" {
			yes++
		}
		if busy := name == "port_" || name == "psu_"; busy { // Who listens and which programs run may change in between.
			got.instances, want.instances = nil, nil
		}
		// Munin's own word is misspelt.
		want.answer = strings.Replace(want.answer, "autoconf not suggest", "autoconf nor suggest", 1)
		if got.used != want.used || got.answer != want.answer || !slices.Equal(got.instances, want.instances) {
			t.Errorf("%s: we say %+v, munin-node-configure %+v", name, got, want)
		}
	}
	t.Logf("%d plugins, %d of which say yes: the same verdicts, in %v here and %v there", len(theirs), yes, ourTime, theirTime)
}

// TestPrintsTheShellCommandsThatMuninNodeConfigurePrints compares the whole text for the automatic plugins.
func TestPrintsTheShellCommandsThatMuninNodeConfigurePrints(t *testing.T) {
	t.Parallel()
	_, err := os.Stat(debianConfigure)
	testenv.Need(t, "munin-node-configure (Debian's munin-node)", err == nil)
	testenv.Need(t, "root, to run plugins as others", os.Getuid() == 0)
	services := t.TempDir()
	for name, plugin := range map[string]string{"cpu": "cpu", "if_stale0": "if_", "acpi": "acpi", "alias": "load"} {
		if err := os.Symlink(filepath.Join(debianLibrary, plugin), filepath.Join(services, name)); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"--shell", "--remove-also", "--servicedir", services}
	theirs := runConfigure(t, debianConfigure, args...)
	ours := runConfigure(t, "corbie-node", append([]string{"configure", "--config", "/etc/munin/munin-node.conf", "--libdir", debianLibrary, "--scripts"}, args...)...)
	if ours != theirs {
		t.Errorf("we print:\n%s\nmunin-node-configure:\n%s", ours, theirs)
	}
	for _, want := range []string{`ln -s '/usr/share/munin/plugins/uptime' '`, `rm -f '` + services + `/if_stale0'`} {
		if !strings.Contains(theirs, want) {
			t.Errorf("%q is missing in\n%s", want, theirs)
		}
	}
	t.Logf("%d commands, all the same", strings.Count(theirs, "\n"))
}

// TestMuninsHistoryIsUnderstood compares which plugins are newer than some of the versions in Munin's history.
func TestMuninsHistoryIsUnderstood(t *testing.T) {
	_, err := os.Stat(debianConfigure)
	testenv.Need(t, "munin-node-configure (Debian's munin-node)", err == nil)
	history, err := os.ReadFile(filepath.Join(debianLibrary, "plugins.history"))
	if err != nil {
		t.Fatal(err)
	}
	services := t.TempDir()
	names := func(table string) []string {
		return regexp.MustCompile(`(?m)^\S+`).FindAllString(table, -1)
	}
	versions, shown := regexp.MustCompile(`(?m)^\[(.+)\]`).FindAllStringSubmatch(string(history), -1), 0
	for i, version := range versions {
		if i%16 != 0 && i < len(versions)-2 {
			continue
		}
		args := []string{"--newer", version[1], "--families", "auto", "--servicedir", services}
		theirs := names(runConfigure(t, debianConfigure, args...))
		ours := names(runConfigure(t, "corbie-node", append([]string{"configure", "--config", "/etc/munin/munin-node.conf", "--libdir", debianLibrary}, args...)...))
		if !slices.Equal(ours, theirs) {
			t.Errorf("newer than %s: %q here, %q there", version[1], ours, theirs)
		}
		shown += len(theirs)
	}
	if len(versions) < 5 || shown < 50 {
		t.Errorf("only %d versions and %d plugins were looked at", len(versions), shown)
	}
}
