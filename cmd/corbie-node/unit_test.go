package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"corbie/internal/testenv"
)

// TestTheUnitsAreWhatSystemdUnderstands lets systemd read the units that docs/node.md installs, and judge them: a service without any
// precaution has 9.6 of 10.
func TestTheUnitsAreWhatSystemdUnderstands(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	testenv.Need(t, "systemd-analyze (Debian's systemd)", err == nil)
	program, err := exec.LookPath("corbie-node")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"corbie-node.service", "corbie-node.socket"} {
		text, err := os.ReadFile(filepath.Join("../../.ci/systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "/usr/local/bin/corbie-node serve") && strings.HasSuffix(name, ".service") {
			t.Errorf("%s starts something else", name)
		}
		testenv.WriteFile(t, filepath.Join(dir, name), strings.ReplaceAll(string(text), "/usr/local/bin/corbie-node", program), 0o644)
	}
	service := filepath.Join(dir, "corbie-node.service")
	if out, err := exec.CommandContext(t.Context(), analyze, "verify", service, filepath.Join(dir, "corbie-node.socket")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "security", "--offline=true", "--threshold=80", service).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze security: %v\n%s", err, out)
	}
}
