package lint_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"corbie/munin"
	"corbie/node/lint"
)

var update = flag.Bool("update", false, "rewrite the findings in testdata")

// began is when the plugins of testdata ran.
var began = time.Unix(1_700_000_000, 0)

// load reads a plugin from an archive: its file, what it printed, how its runs went, and the findings.
//
// The file "run" has lines "config exit 3", "values took 12s", "config stderr text".
func load(t *testing.T, archive *txtar.Archive) (subject lint.Subject, want string) {
	t.Helper()
	subject.Config.At, subject.Values.At = began, began
	runs := map[string]*lint.Run{"config": &subject.Config, "values": &subject.Values}
	for _, file := range archive.Files {
		switch file.Name {
		case "want":
			want = string(file.Data)
		case "run":
			for line := range strings.Lines(string(file.Data)) {
				words := strings.SplitN(strings.TrimSpace(line), " ", 3)
				set(t, runs[words[0]], words[1], words[2])
			}
		case "config", "values":
			runs[file.Name].Output = unescape(file.Data)
		case "dirty":
			subject.Dirty = &lint.Run{Output: unescape(file.Data), At: began}
			runs["dirty"] = subject.Dirty
		case "autoconf":
			subject.Autoconf = &lint.Run{Output: unescape(file.Data), At: began}
			runs["autoconf"] = subject.Autoconf
		default:
			subject.Name, subject.File = file.Name, unescape(file.Data)
		}
	}
	return subject, want
}

// unescape makes carriage returns and bytes that an archive would not survive out of \r and \xNN.
func unescape(data []byte) []byte {
	data = bytes.ReplaceAll(data, []byte(`\r`), []byte("\r"))
	data = bytes.ReplaceAll(data, []byte(`\xe9`), []byte{0xe9})
	return bytes.ReplaceAll(data, []byte(`\x07`), []byte{0x07})
}

func set(t *testing.T, run *lint.Run, what, value string) {
	t.Helper()
	var err error
	switch what {
	case "exit":
		run.ExitCode, err = strconv.Atoi(value)
		run.Err = errors.New("bad exit")
	case "took":
		run.Took, err = time.ParseDuration(value)
	case "stderr":
		run.Stderr = append(run.Stderr, value)
	case "fails":
		run.ExitCode, run.Err = -1, errors.New(value)
	default:
		t.Fatalf("run: %q is not known", what)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func describe(findings []lint.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s %s: %s\n    %s\n", f.Severity, f.Rule, f, f.Mend)
	}
	return b.String()
}

func TestEachBrokenPluginHasItsFindings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no broken plugins: %v", err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			subject, want := load(t, archive)
			got := describe(lint.Check(subject))
			if *update {
				last := &archive.Files[len(archive.Files)-1]
				if last.Name != "want" {
					archive.Files = append(archive.Files, txtar.File{Name: "want"})
					last = &archive.Files[len(archive.Files)-1]
				}
				last.Data = []byte(got)
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("%s\ngot:\n%s\nwant:\n%s", path, got, want)
			}
		})
	}
}

// tooLarge are rules for what is too large to be written down in testdata.
var tooLarge = map[string]bool{"too-long": true, "refused": true, "and-more": true}

func TestWhatIsTooLargeIsReported(t *testing.T) {
	var many strings.Builder
	many.WriteString("graph_title Many\n")
	for i := range munin.MaxFields + 1 {
		fmt.Fprintf(&many, "f%d.label field\n", i)
	}
	for rule, config := range map[string]string{
		"too-long": "graph_title x\nx.label " + strings.Repeat("x", munin.MaxValueBytes+1) + "\n",
		"refused":  many.String(),
	} {
		found := describe(lint.Check(lint.Subject{Name: "x", Config: lint.Run{Output: []byte(config)}, Values: lint.Run{Err: errors.New("none")}}))
		if !strings.Contains(found, "error "+rule+": ") {
			t.Errorf("no error %s in:\n%s", rule, found)
		}
	}
	long := lint.Run{Output: []byte(strings.Repeat("x", munin.MaxLineBytes+1))}
	if found := describe(lint.Check(lint.Subject{Name: "x", Config: long, Values: long})); !strings.Contains(found, "error too-long: values line 1: ") {
		t.Errorf("a line that is too long is not reported:\n%s", found)
	}
}

func TestEveryRuleHasABrokenPlugin(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	rule := regexp.MustCompile(`c\.(?:add\(\w+|refused\(here), "([a-z-]+)"`)
	shown, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, path := range shown {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	rules := 0
	for _, path := range sources {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range rule.FindAllSubmatch(text, -1) {
			rules++
			if tooLarge[string(found[1])] || bytes.HasSuffix(found[1], []byte("-")) {
				continue
			}
			if !bytes.Contains(all, append(append([]byte(" "), found[1]...), ": "...)) {
				t.Errorf("%s: no file in testdata shows the rule %s", path, found[1])
			}
		}
	}
	if rules < 30 {
		t.Errorf("only %d rules found in the source: the test does not see them", rules)
	}
}

func TestFindingsAreLimited(t *testing.T) {
	output := []byte(strings.Repeat("nonsense of a plugin\n", 100_000))
	found := lint.Check(lint.Subject{Name: "x", Config: lint.Run{Output: output}, Values: lint.Run{Output: output}})
	if len(found) != lint.MaxFindings || found[len(found)-1].Rule != "and-more" {
		t.Errorf("%d findings, the last one %v, want %d", len(found), found[len(found)-1], lint.MaxFindings)
	}
}

func TestWorst(t *testing.T) {
	if _, ok := lint.Worst(nil); ok {
		t.Error("no findings have a worst one")
	}
	worst, ok := lint.Worst([]lint.Finding{{Severity: lint.Hint}, {Severity: lint.Error}, {Severity: lint.Warning}})
	if !ok || worst != lint.Error {
		t.Errorf("worst is %v", worst)
	}
}

// FuzzCheck feeds the linter with hostile output: it ends, its findings are short and printable, and whatever
// the master's own parser refuses is among them.
func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		var config, values []byte
		for _, file := range archive.Files {
			switch file.Name {
			case "config":
				config = unescape(file.Data)
			case "values":
				values = unescape(file.Data)
			}
		}
		f.Add("queue", config, values)
	}
	f.Fuzz(func(t *testing.T, name string, config, values []byte) {
		found := lint.Check(lint.Subject{
			Name: name, File: config,
			Config: lint.Run{Output: config, At: began}, Values: lint.Run{Output: values, At: began},
			Dirty: &lint.Run{Output: append(config, values...), At: began},
		})
		errorSeen := false
		for _, one := range found {
			errorSeen = errorSeen || one.Severity > lint.Hint
			if one.Text == "" || one.Mend == "" || one.Rule == "" || one.Where == "" {
				t.Fatalf("a finding says nothing: %+v", one)
			}
			if text := one.String() + one.Mend; len(text) > 2000 || munin.CleanText(text) != strings.TrimSpace(text) {
				t.Fatalf("a finding is too long or not printable: %q", text)
			}
		}
		if faults := munin.ParseConfig(name, config).Faults; len(faults) > 0 && !errorSeen {
			t.Fatalf("the master refuses %v, lint nothing", faults)
		}
	})
}
