package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// document is a page of which the blocks are run.
type document struct {
	shell *shell
	dir   string // that the blocks begin in
	fill  *strings.Replacer
	ran   int // commands
	pages int
}

// shell is one shell that runs one command after the other.
type shell struct {
	cmd *exec.Cmd
	in  io.Writer
	out chan string // lines
}

// stuck is how long one command may take.
const stuck = 40 * time.Second

const marker = "-- the end of "

func startShell(t *testing.T, dir string, env []string) *shell {
	t.Helper()
	s := &shell{cmd: exec.CommandContext(t.Context(), "sh"), out: make(chan string, 1000)}
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := s.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s.cmd.Stdout
	s.in = in
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.out)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.out <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "try/*.log"))
			for _, log := range logs {
				text, _ := os.ReadFile(log)
				t.Logf("%s:\n%s", log, text)
			}
		}
		// What the page started it also ends; this is for a page that was left half-way. It is all in one group.
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
		for range s.out { // Until the last of them has let go of it.
		}
		_ = s.cmd.Wait()
	})
	return s
}

// run types a command and returns what comes.
func (s *shell) run(t *testing.T, n int, command string) string {
	t.Helper()
	end := fmt.Sprintf("%s%d --", marker, n)
	if _, err := fmt.Fprintf(s.in, "%s\nprintf '\\n%%s\\n' '%s'\n", command, end); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	var said strings.Builder
	deadline := time.After(stuck)
	for {
		select {
		case line, ok := <-s.out:
			if !ok {
				t.Fatalf("the shell ended in %q after\n%s", command, said.String())
			}
			if line == end {
				// Of the line feed before the marker one stays, where the command ended its line.
				return strings.TrimSuffix(said.String(), "\n")
			}
			said.WriteString(line + "\n")
		case <-deadline:
			t.Fatalf("%q does not end; so far it said\n%s", command, said.String())
		}
	}
}

// sameText compares an answer with what the page shows, in which … stands for any text. Columns may be as wide as what is in them.
func sameText(want, got string) bool {
	gaps := regexp.MustCompile(` {2,}`)
	want, got = gaps.ReplaceAllString(want, "  "), gaps.ReplaceAllString(got, "  ")
	pattern := strings.ReplaceAll(regexp.QuoteMeta(want), "…", "(?s:.*)")
	return regexp.MustCompile(`^(?m:` + pattern + `)\n?$`).MatchString(got)
}

var link = regexp.MustCompile(`Open <(http://[^>]+)>`)

// text looks at what stands between two blocks.
func (d *document) text(t *testing.T, text string) {
	t.Helper()
	for _, found := range link.FindAllStringSubmatch(text, -1) {
		d.pages++
		for _, suffix := range []string{"", ".svg"} {
			address := d.fill.Replace(found[1]) + suffix
			response, err := new(http.Client).Get(address)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "Files that wait") {
				t.Errorf("%s: %s, %v:\n%s", address, response.Status, err, body)
			}
		}
	}
}

// block runs one block of the page.
func (d *document) block(t *testing.T, info, body string) {
	t.Helper()
	kind, argument, _ := strings.Cut(info, " ")
	switch {
	case kind == "sh":
		testenv.WriteFile(t, filepath.Join(d.dir, "try", argument), body, 0o644)
		return
	case kind != "console":
		return
	case argument == "debian":
		if _, err := os.Stat("/usr/share/munin/plugins/uptime"); err != nil {
			if testenv.Required() {
				t.Fatal("munin-plugins-core is missing: install it")
			}
			t.Log("munin-plugins-core is not installed")
			return
		}
	}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	for len(lines) > 0 {
		command, ok := strings.CutPrefix(lines[0], "$ ")
		if !ok {
			t.Fatalf("want a command, not %q", lines[0])
		}
		lines = lines[1:]
		for len(lines) > 0 && strings.HasPrefix(lines[0], "> ") {
			command += "\n" + lines[0][2:]
			lines = lines[1:]
		}
		var want strings.Builder
		for len(lines) > 0 && !strings.HasPrefix(lines[0], "$ ") {
			want.WriteString(lines[0] + "\n")
			lines = lines[1:]
		}
		d.ran++
		got := d.shell.run(t, d.ran, d.fill.Replace(command))
		if !sameText(d.fill.Replace(want.String()), got) {
			t.Fatalf("$ %s\ngot:\n%s\nwant:\n%s", command, got, want.String())
		}
	}
}

// TestThePageOnPluginsIsTrue does what docs/plugins.md says, literally but for the two ports.
func TestThePageOnPluginsIsTrue(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	lesson, _, _ := strings.Cut(string(page), "\n## Every attribute\n") // what follows is for looking things up
	if n := strings.Count(lesson, "\n"); n >= 250 {
		t.Errorf("the ten minutes of docs/plugins.md have %d lines, want under 250", n)
	}
	dir := testenv.PublicDir(t)
	corbie, err := exec.LookPath("corbie")
	if err != nil {
		t.Fatal(err)
	}
	port := func() string {
		address := testenv.FreeAddress(t, "tcp")
		return address[strings.LastIndexByte(address, ':')+1:]
	}
	d := &document{dir: dir, fill: strings.NewReplacer("14949", port(), "18080", port())}
	path := strings.Join([]string{filepath.Dir(nodeProgram(t)), filepath.Dir(corbie), os.Getenv("PATH")}, ":")
	d.shell = startShell(t, dir, append(os.Environ(), "HOME="+dir, "PATH="+path, "LC_ALL=C", "TZ=UTC"))
	for i, part := range strings.Split(string(page), "```") {
		if i%2 == 0 {
			d.text(t, part)
			continue
		}
		info, body, _ := strings.Cut(part, "\n")
		d.block(t, info, body)
	}
	if d.ran < 20 || d.pages == 0 {
		t.Errorf("only %d commands and %d pages: the test does not see them", d.ran, d.pages)
	}
}
