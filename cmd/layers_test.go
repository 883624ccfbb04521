// Package cmd_test keeps the architecture: who may import whom.
package cmd_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// layers says what each top-level folder may import besides the standard library and its own sub-packages.
// A folder that is missing here fails the test: decide where it belongs first.
var layers = map[string][]string{
	"munin":      {},
	"munin/wire": {"munin"},
	"node":       {"munin", "munin/wire"},
	"master":     {"munin", "munin/wire"},
	"plugins":    {"munin"},
	"storage":    {"munin"},
	"alerts":     {"munin"},
	"ui":         {"munin"},
	"cmd":        {"munin", "munin/wire", "node", "master", "plugins", "storage", "alerts", "ui"},
	"internal":   {},
}

// forTests are the packages that tests alone may import, in every layer.
var forTests = []string{"internal/testenv", "munin/wire/wiretest", "storage/storagetest", "storage/storagetest/engine", "ui/uitest"}

// owners names the one package that may import each heavy dependency (a module path or a prefix of one).
var owners = map[string][]string{
	"github.com/prometheus/prometheus":   {"storage/series", "storage/remote", "storage/promapi", "storage/rules"},
	"github.com/mattn/go-sqlite3":        {"storage/catalog"},
	"github.com/pressly/goose":           {"storage/catalog"},
	"github.com/robfig/cron":             {"master/jobs"},
	"github.com/prometheus/alertmanager": {"alerts/route"},
	"github.com/go-echarts/go-echarts":   {"ui/chart"},
	"github.com/go-text/typesetting":     {"ui/chart/paint"},
	"github.com/hajimehoshi/bitmapfont":  {"ui/chart/paint"},
	"codeberg.org/go-fonts/dejavu":       {"ui/chart/paint"},
	"golang.org/x/image":                 {"ui/chart/paint"},
	"github.com/wneessen/go-mail":        {"alerts/route"},
	"go.yaml.in/yaml":                    {"master/config", "storage/rules"},
	"github.com/spf13/cobra":             {"cmd/corbie", "cmd/corbie-node", "cmd/corbie-fleet"},
	"github.com/gosnmp/gosnmp":           {"node/snmp"},
	"github.com/coreos/go-oidc":          {"ui/access"},
	"golang.org/x/oauth2":                {"ui/access"},
	"golang.org/x/crypto":                {"ui/access"},
	"os/exec":                            {"node/runner", "alerts/route", "master/transport", "internal/testenv", "storage/storagetest", "storage/storagetest/engine"},
}

type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func modulePackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", "corbie/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	decoder := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// layerOf is the longest entry of layers that holds the package.
func layerOf(pkg string) string {
	for dir := pkg; dir != "."; dir = path.Dir(dir) {
		if _, ok := layers[dir]; ok {
			return dir
		}
	}
	return ""
}

func TestNoImportRunsBackOrSideways(t *testing.T) {
	packages := modulePackages(t)
	if len(packages) < 8 {
		t.Fatalf("only %d packages found: the test does not see the module", len(packages))
	}
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, "corbie/")
		layer := layerOf(name)
		if layer == "" {
			t.Errorf("%s is in no layer: add its top folder to the table or move it", name)
			continue
		}
		for _, imported := range p.Imports {
			target, ours := strings.CutPrefix(imported, "corbie/")
			if !ours {
				if layer == "munin" && strings.Contains(imported, ".") {
					t.Errorf("%s imports %s: munin uses the standard library only", name, imported)
				}
				continue
			}
			if slices.Contains(forTests, target) {
				if !slices.Contains(forTests, name) {
					t.Errorf("%s imports %s, which is for tests", name, target)
				}
				continue
			}
			to := layerOf(target)
			if to != layer && !slices.Contains(layers[layer], to) {
				t.Errorf("%s imports %s: %s may import only %v", name, target, layer, layers[layer])
			}
			if layer == "cmd" && to == "cmd" {
				t.Errorf("%s imports %s: commands share nothing", name, target)
			}
		}
	}
}

func TestEachHeavyDependencyHasOneOwner(t *testing.T) {
	used := make(map[string]bool)
	for _, p := range modulePackages(t) {
		name := strings.TrimPrefix(p.ImportPath, "corbie/")
		for _, imported := range p.Imports {
			for dependency, allowed := range owners {
				if imported != dependency && !strings.HasPrefix(imported, dependency+"/") {
					continue
				}
				used[dependency] = true
				if !slices.Contains(allowed, name) {
					t.Errorf("%s imports %s, which belongs to %v", name, imported, allowed)
				}
			}
		}
	}
	for dependency := range owners {
		if !used[dependency] {
			t.Errorf("nothing imports %s any more: take it out of the table and of go.mod", dependency)
		}
	}
}
