package cmd_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"corbie/master/config"
	"corbie/node/lint"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDocumentsNameOnlyWhatExists(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	folder := regexp.MustCompile("(?m)^\\| `([a-z/.-]+/)`")
	names, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	decisions, err := filepath.Glob("../docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range append(append(names, decisions...), "../README.md") {
		text := read(t, strings.TrimPrefix(name, "../"))
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			found++
			if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
		for _, m := range folder.FindAllStringSubmatch(text, -1) {
			found++
			if _, err := os.Stat(filepath.Join("..", m[1])); err != nil {
				t.Errorf("%s names the folder %s, which does not exist", name, m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d links and folders found: the test does not see the documents", found)
	}
}

func TestDocumentsStayShort(t *testing.T) {
	for name, limit := range map[string]int{"README.md": 120, "docs/architecture.md": 200} {
		if n := strings.Count(read(t, name), "\n"); n >= limit {
			t.Errorf("%s has %d lines, want under %d", name, n, limit)
		}
	}
}

func TestReadmesConfigurationIsValid(t *testing.T) {
	_, rest, ok := strings.Cut(read(t, "README.md"), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("README.md has no block of YAML")
	}
	conf, err := config.Parse("README.md", []byte(text), config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if len(conf.Hosts) == 0 || len(conf.Levels) == 0 || len(conf.Receivers) == 0 {
		t.Errorf("the example lacks hosts, levels or receivers: %+v", conf)
	}
}

// TestEveryAttributeIsDocumented compares the tables of docs/plugins.md with the attributes that a plugin may use.
func TestEveryAttributeIsDocumented(t *testing.T) {
	_, tables, ok := strings.Cut(read(t, "docs/plugins.md"), "\n## Every attribute\n")
	ofGraphs, ofFields, both := strings.Cut(tables, "\n| of a field ")
	if !ok || !both {
		t.Fatal("docs/plugins.md has no tables of attributes")
	}
	graph, field := lint.Attributes()
	for _, c := range []struct {
		what, table string
		want        []string
	}{{"graph", ofGraphs, graph}, {"field", ofFields, field}} {
		var got []string
		for line := range strings.Lines(c.table) {
			cell, isRow := strings.CutPrefix(line, "| `")
			if !isRow {
				continue
			}
			cell, _, _ = strings.Cut("`"+cell, " | ")
			for _, name := range strings.Split(cell, ", ") {
				got = append(got, strings.Trim(name, "`"))
			}
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("attributes of a %s:\ndocumented %q\nknown      %q", c.what, got, c.want)
		}
	}
}
