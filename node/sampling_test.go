package node_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/node"
)

// awaitSpool asks until the spool has something that fits, or fails.
func awaitSpool(t *testing.T, m *master, command, pattern string) (text string) {
	t.Helper()
	wanted := regexp.MustCompile(pattern)
	testenv.Eventually(t, command+" is answered by "+pattern, func() bool {
		text = m.body(command)
		return wanted.MatchString(text)
	})
	return text
}

func TestSessionsFetchWhatWasSampled(t *testing.T) {
	n := startNode(t, setup{
		config: "spool yes\nspooldir spool\nsample_interval 1s\n",
		conf:   "[other]\nhost_name other.example.com\n[rated]\nupdate_rate 1\n",
		scripts: map[string]string{
			"load_x.y": `[ "$1" = config ] && echo "graph_title Load" && echo "a.label A" || echo "a.value 5"`,
			"other":    `[ "$1" = config ] && echo "b.label B" || echo "b.value 6"`,
			"multi":    `[ "$1" = config ] && printf 'multigraph m\na.label A\nmultigraph m.c\nc.label C\n' || printf 'multigraph m\na.value 1\nmultigraph m.c\nc.value U\n'`,
			"broken":   `exit 1`,
			"state":    `[ "$1" = config ] && echo "a.label ${MUNIN_STATEFILE##*/} $MUNIN_MASTER_IP" || echo a.value 1`,
		},
		native: fakeNative{"native": func(_ context.Context, verb string, _ map[string]string) ([]byte, error) {
			if verb == "config" {
				return []byte("graph_title N\nn.label N\n"), nil
			}
			return []byte("n.value -0\n"), nil
		}},
	})
	m := n.dial(t)
	if got := m.ask("cap multigraph dirtyconfig"); got != "cap multigraph dirtyconfig" {
		t.Errorf("%q: a master that cannot name the node would take one host's samples for another's", got)
	}
	if got := m.ask("cap multigraph spool"); got != "cap multigraph dirtyconfig spool" {
		t.Errorf("a master that can name the node: %q", got)
	}
	text := awaitSpool(t, m, "spoolfetch 0", `(?m)^multigraph load_x_y\ngraph_title Load\na.label A\nupdate_rate 1\nmultigraph load_x_y\na.value \d+:5\n`)
	text += awaitSpool(t, m, "spoolfetch 0", `(?s)multigraph m\na.value \d+:1\nmultigraph m.c\nc.value \d+:U\n.*`)
	text += awaitSpool(t, m, "spoolfetch 0", `(?s)n.value \d+:-0\n`)
	text += awaitSpool(t, m, "spoolfetch 0", `(?s)a.label state-spool spool\n`)
	if strings.Contains(text, "other") {
		t.Errorf("another host's samples are among the node's own:\n%s", text)
	}
	if text := awaitSpool(t, m, "spoolfetch 0 Other.example.com", `multigraph other\nb.value \d+:6\n`); strings.Contains(text, "load") {
		t.Errorf("the node's samples are among those of another host:\n%s", text)
	}
	if text := m.body(fmt.Sprintf("spoolfetch %d", time.Now().Unix()+5)); text != "" {
		t.Errorf("from the future: %q", text)
	}
	for _, wrong := range []string{"spoolfetch", "spoolfetch -5", "spoolfetch x"} {
		if got := m.ask(wrong); !strings.HasPrefix(got, "# Unknown command") {
			t.Errorf("%s: %q", wrong, got)
		}
	}
	st, sampler, on := n.server.SpoolStatus()
	if !on || st.Samples == 0 || sampler.Plugins != 6 || sampler.Failures == 0 {
		t.Errorf("status %v %+v %+v", on, st, sampler)
	}
}

func TestKeysOfSamplingAreReadAnew(t *testing.T) {
	const config = "spool yes\nspooldir spool\n"
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}, config: config + "sample_interval 7d\n"})
	if err := n.server.Reload(t.Context(), n.config(t, config+"sample_interval 1\nspool_keep 1h\n")); err != nil {
		t.Fatal(err)
	}
	m := n.dial(t)
	awaitSpool(t, m, "spoolfetch 0", `load.value \d+:0.10\n`)
	if err := n.server.Reload(t.Context(), n.config(t, config+"spooldir other\n")); err != nil {
		t.Fatal(err)
	}
	if log := n.log.String(); !strings.Contains(log, "take effect when the node is started again") {
		t.Errorf("it does not say that the folder is that of before:\n%s", log)
	}
}

func TestNodeWithoutSpoolDoesNotSample(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{"load": "echo a.value 1"}})
	m := n.dial(t)
	if got := m.ask("cap multigraph dirtyconfig spool"); got != "cap multigraph dirtyconfig" {
		t.Errorf("it offers what it does not have: %q", got)
	}
	if got := m.ask("spoolfetch 0"); !strings.HasPrefix(got, "# Unknown command") {
		t.Errorf("spoolfetch: %q", got)
	}
	if _, _, on := n.server.SpoolStatus(); on {
		t.Error("it says that it samples")
	}
}

func TestSpoolFolderThatCannotBeMadeCostsOnlyTheSpool(t *testing.T) {
	n := startNode(t, setup{})
	n.write(t, "file", "", 0o644)
	cfg := n.config(t, "spool yes\nspooldir file/spool\n")
	if store := node.OpenSpool(cfg, n.opts.Log); store != nil {
		t.Error("a spool in a file was opened")
	}
	if log := n.log.String(); !strings.Contains(log, "no samples are kept") || !strings.Contains(log, "file/spool") {
		t.Errorf("the log does not say it:\n%s", log)
	}
}

func TestKeysOfSamplingHaveTheirEffect(t *testing.T) {
	cfg, err := node.ParseConfig("/x/node.conf", []byte("spool yes\nspooldir s\nspool_keep 2d\nspool_size 64M\nsample_interval 30\nsample_parallel 8\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := node.Sampling{
		Spool: true, SpoolDir: "/x/s", SpoolKeep: 48 * time.Hour, SpoolSize: 64 << 20,
		SampleInterval: 30 * time.Second, SampleParallel: 8,
	}
	if cfg.Sampling != want {
		t.Errorf("got %+v", cfg.Sampling)
	}
	if len(cfg.Warnings)+len(cfg.Ineffective) > 0 {
		t.Errorf("it complains: %v %v", cfg.Warnings, cfg.Ineffective)
	}
	for _, wrong := range []string{
		"spool maybe", "spool_keep 5x", "spool_keep 0", "spool_size 10", "spool_size 9999999999G", "spool_size -1",
		"sample_interval 0", "sample_interval 0.5", "sample_interval 8d", "sample_parallel 0", "sample_parallel 100",
	} {
		key, _, _ := strings.Cut(wrong, " ")
		if _, err := node.ParseConfig("n", []byte(wrong+"\n")); err == nil || !strings.Contains(err.Error(), "n:1: "+key) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if cfg := node.DefaultConfig(); cfg.Spool || cfg.SpoolSize != 256<<20 || cfg.SpoolKeep != 7*24*time.Hour || filepath.IsAbs(cfg.SpoolDir) {
		t.Errorf("the defaults are %+v", cfg.Sampling)
	}
}

// TestEveryKeyOfTheReferenceIsKnown reads docs/node.md.
func TestEveryKeyOfTheReferenceIsKnown(t *testing.T) {
	text, err := os.ReadFile("../docs/node.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for _, row := range regexp.MustCompile("(?m)^\\| `[^|]*\\|").FindAllString(string(text), -1) {
		for _, key := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(row, -1) {
			keys++
			cfg, err := node.ParseConfig("n", []byte(key[1]+" 5\n"))
			if err == nil && len(cfg.Warnings)+len(cfg.Ineffective) > 0 {
				t.Errorf("%s is in the reference, and has no effect", key[1])
			}
		}
	}
	if keys < 35 {
		t.Errorf("only %d keys were found", keys)
	}
}
