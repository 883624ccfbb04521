package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"corbie/master/config"
	"corbie/munin"
	"corbie/storage"
	"corbie/storage/catalog"
)

// blocks are the commands of a page of documentation, and its blocks of a language.
func blocks(t *testing.T, path, language string) (commands, texts []string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var text *strings.Builder
	for line := range strings.Lines(string(page)) {
		switch {
		case text != nil && strings.HasPrefix(line, "```"):
			texts = append(texts, text.String())
			text = nil
		case text != nil:
			text.WriteString(line)
		case strings.HasPrefix(line, "```"+language):
			text = &strings.Builder{}
		case strings.HasPrefix(line, "    corbie "):
			command, _, _ := strings.Cut(line, " #")
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands, texts
}

// words divides a command as a shell does, as far as the pages need it: with quotes of both kinds around whole parts.
func words(command string) []string {
	var out []string
	for rest := command; rest != ""; {
		at := strings.IndexAny(rest, `'"`)
		if at < 0 {
			return append(out, strings.Fields(rest)...)
		}
		out = append(out, strings.Fields(rest[:at])...)
		quoted, after, _ := strings.Cut(rest[at+1:], rest[at:at+1])
		out, rest = append(out, quoted), after
	}
	return out
}

func TestThePageAboutTheMasterHoldsWhatItSays(t *testing.T) {
	commands, yaml := blocks(t, "../../docs/master.md", "yaml")
	if len(commands) < 20 || len(yaml) != 1 {
		t.Fatalf("found %d commands and %d blocks of YAML: the test does not see the page", len(commands), len(yaml))
	}
	for _, command := range commands {
		p := &program{stdout: io.Discard, stderr: io.Discard}
		cmd, args, err := p.root().Find(words(command)[1:])
		if err == nil {
			err = cmd.ParseFlags(args)
		}
		if err == nil {
			err = cmd.ValidateArgs(cmd.Flags().Args())
		}
		if err != nil || cmd.Name() == "corbie" {
			t.Errorf("%s: %v", command, err)
		}
	}
	conf, err := config.Parse("master.md", []byte(strings.Replace(yaml[0], "include:", "#", 1)), config.Flags{})
	if err != nil {
		t.Fatal(err)
	}
	if len(conf.Hosts) < 6 || len(conf.Levels) < 3 || len(conf.Graphs) < 1 || len(conf.Receivers) < 1 {
		t.Errorf("the example lacks something: %+v", conf)
	}
}

// The renames of the page, one after the other, on hosts as it has them.
func TestTheRenamesOfThePageAboutTheMasterWork(t *testing.T) {
	commands, _ := blocks(t, "../../docs/master.md", "yaml")
	data := t.TempDir()
	knownHosts(t, data)
	ran := 0
	for _, command := range commands {
		args := words(command)[1:]
		if args[0] != "rename" && args[0] != "remove" {
			continue
		}
		ran++
		if out, talk, code := corbie(t, append(args, "--data", data)...); code != exitOK {
			t.Errorf("%s: exit %d\n%s%s", command, code, out, talk)
		}
	}
	if ran < 8 {
		t.Errorf("only %d commands were run", ran)
	}
	for _, line := range strings.Split(strings.TrimSpace(mustCorbie(t, "rename", "--list", "--data", data)), "\n")[1:] {
		if strings.HasPrefix(line, "web1 ") {
			t.Errorf("this was undone: %s", line)
		}
	}
}

// knownHosts writes a catalogue and samples with the hosts that the page names, none of them configured.
func knownHosts(t *testing.T, data string) {
	t.Helper()
	cat, err := catalog.Open(filepath.Join(data, catalogFile), catalog.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer cat.Close()
	samples, err := storage.Open(data, storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	now := time.Now()
	graph := func(name string, fields ...string) munin.Graph {
		g := munin.Graph{Plugin: name, Name: name, Title: name}
		for _, f := range fields {
			g.Fields = append(g.Fields, munin.Field{Name: f, Label: f})
		}
		return g
	}
	for _, p := range []munin.Poll{
		{Host: "web1", Graphs: []munin.Graph{graph("if_eth0", "up"), graph("if_enp1s0", "up")}},
		{Host: "office;web1", Graphs: []munin.Graph{graph("load", "load")}},
		{Host: "db1", Graphs: []munin.Graph{graph("df", "_dev_vda1")}},
	} {
		p.Start, p.Banner = now, p.Host.Name()
		if err := cat.Record(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
	}
	old := munin.Reading{ID: munin.SeriesID{Host: "db1", Graph: "df", Field: "_dev_sda1"}, Point: munin.Point{T: now.UnixMilli(), V: 1}}
	if err := errors.Join(samples.Append(t.Context(), []munin.Reading{old}), cat.Configure(t.Context(), nil)); err != nil {
		t.Fatal(err)
	}
}
