package node_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"corbie/internal/testenv"
)

const loadScript = `if [ "$1" = config ]; then echo "graph_title Load"; echo "load.label load"; else echo "load.value 0.10"; fi`

func TestANodeServesScriptsAndNativePluginsAlike(t *testing.T) {
	native := fakeNative{
		"load": func(context.Context, string, map[string]string) ([]byte, error) {
			return []byte("never.value 1\n"), nil
		},
		"users": func(_ context.Context, verb string, _ map[string]string) ([]byte, error) {
			return []byte("verb." + verb + " x\n"), nil
		},
	}
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}, native: native})
	m := n.dial(t)
	if got := m.ask("list"); got != "load users" {
		t.Errorf("list %q", got)
	}
	if got := m.body("config load"); got != "graph_title Load\nload.label load\n" {
		t.Errorf("config load %q: the script does not win over the native plugin", got)
	}
	if got := m.body("fetch load"); got != "load.value 0.10\n" {
		t.Errorf("fetch load %q", got)
	}
	if got := m.body("config users") + m.body("fetch users"); got != "verb.config x\nverb. x\n" {
		t.Errorf("users %q", got)
	}
	if got := m.ask("version"); got != "munins node on Node1.example.com version: 1.2.3" {
		t.Errorf("version %q", got)
	}
	for _, name := range []string{"nope", "../conf/test", "", ".hidden"} {
		if got := m.body("fetch " + name); got != "# Unknown service\n" {
			t.Errorf("fetch %q: %q", name, got)
		}
	}
}

func TestOnlyWhatIsAPluginIsListed(t *testing.T) {
	n := startNode(t, setup{
		scripts: map[string]string{
			"good": loadScript, "if_eth0.100": loadScript, "a@b": loadScript,
			"x.conf": loadScript, "old.bak": loadScript, ".hidden": loadScript, "with blank": loadScript, "hash#": loadScript,
		},
		config: `ignore_file \.bak$`,
	})
	n.write(t, "plugins/plain", "#!/bin/sh\necho no", 0o644)
	n.write(t, "library/wild_", "#!/bin/sh\n[ \"$1\" = config ] && echo graph_title x || echo \"${0##*_}.value 1\"\n", 0o755)
	for link, target := range map[string]string{"wild_x": "../library/wild_", "dangling": "../library/nothing", "folder": "../library"} {
		if err := os.Symlink(target, filepath.Join(n.dir, "plugins", link)); err != nil {
			t.Fatal(err)
		}
	}
	m := n.dial(t)
	if got := m.ask("list"); got != "a@b good if_eth0.100 wild_x" {
		t.Errorf("list %q", got)
	}
	if got := m.body("fetch wild_x"); got != "x.value 1\n" {
		t.Errorf("a link does not know its name: %q", got)
	}
}

func TestNewPluginsAreOfferedWithoutARestart(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{"load": loadScript}})
	n.write(t, "library/late_", "#!/bin/sh\n[ \"$1\" = config ] && echo graph_title x || echo late.value 1\n", 0o755)
	m := n.dial(t)
	if got := m.ask("list"); got != "load" {
		t.Errorf("list %q", got)
	}
	if err := os.Symlink("../library/late_", filepath.Join(n.dir, "plugins/late_one")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(n.dir, "plugins/load")); err != nil {
		t.Fatal(err)
	}
	if got := m.ask("list"); got != "late_one" {
		t.Errorf("list %q", got)
	}
	if got := m.body("fetch late_one") + m.body("fetch load"); got != "late.value 1\n# Unknown service\n" {
		t.Errorf("got %q", got)
	}
}

func TestTheListDependsOnWhatTheMasterCan(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{
		"plain": loadScript,
		"multi": `echo "multigraph multi"; echo "graph_title x"; echo "a.label a"`,
		"dirty": `echo "graph_title x"; echo "a.label a"; echo "a.value 1"`,
		"good":  `echo "graph_title x"; echo "a.label a"; [ "$MUNIN_CAP_DIRTYCONFIG" != 1 ] || echo "a.value 1"`,
	}})
	m := n.dial(t)
	for _, test := range []struct{ caps, want string }{
		{"", "good plain"},
		{"multigraph", "good multi plain"},
		{"dirtyconfig", "dirty good plain"},
		{"multigraph dirtyconfig foo", "dirty good multi plain"},
	} {
		m.ask("cap " + test.caps)
		if got := m.ask("list"); got != test.want {
			t.Errorf("cap %s: list %q, want %q", test.caps, got, test.want)
		}
	}
	if got := m.body("config good"); !strings.Contains(got, "a.value 1") {
		t.Errorf("the plugin does not know that values are welcome: %q", got)
	}
	m.ask("cap multigraph")
	if got := m.body("config good"); strings.Contains(got, "a.value") {
		t.Errorf("the plugin does not know that values are not welcome: %q", got)
	}
	if got := m.body("config multi"); !strings.HasPrefix(got, "multigraph multi\n") {
		t.Errorf("config of a plugin that is not listed: %q", got)
	}
}

func TestPluginsMaySpeakForOtherHosts(t *testing.T) {
	n := startNode(t, setup{
		scripts: map[string]string{
			"own":     loadScript,
			"self":    `echo "host_name NODE1.example.com"; echo "a.label a"`,
			"snmp_sw": `echo "host_name Switch.example.com"; echo "a.label a"`,
			"esx":     `echo "host_name switch.example.com"; echo "a.label a"`,
		},
		conf: "[esx]\nhost_name esx.example.com\n",
	})
	m := n.dial(t)
	for ask, want := range map[string]string{
		"list": "own self", "list node1.EXAMPLE.com": "own self", "list switch.example.com": "snmp_sw",
		"list ESX.example.com": "esx", "list elsewhere.example.com": "",
	} {
		if got := m.ask(ask); got != want {
			t.Errorf("%s: %q, want %q", ask, got, want)
		}
	}
	if got := m.body("nodes"); got != "node1.example.com\nesx.example.com\nswitch.example.com\n" {
		t.Errorf("nodes %q", got)
	}
}

func TestWhatGoesWrongInAPluginIsAComment(t *testing.T) {
	n := startNode(t, setup{
		scripts: map[string]string{
			"fails":  `echo a.value 1; echo "no such table" >&2; exit 1`,
			"killed": `echo a.value 1; kill -9 $$`,
			"hangs":  `trap "" HUP TERM; echo a.value 1; while :; do sleep 1; done`,
			"flood":  `exec cat /dev/zero`,
			"silent": `exit 0`,
			"binary": `printf 'a.value 1\n\000\377\376\n.\nb.value 2\n'`,
			"fds":    `exec 2>/dev/null; echo a.value 1`,
			"noone":  `echo a.value 1`,
		},
		conf: "[hangs]\ntimeout 0.3\n[noone]\nuser no-such-user\ncommand no-such-program %c\n",
		wait: 20 * time.Second,
	})
	m := n.dial(t)
	m.ask("cap multigraph dirtyconfig")
	if got := m.ask("list"); got != "binary fails fds flood killed noone" {
		t.Errorf("list %q: those that hang or say nothing are not offered, those that fail are", got)
	}
	for ask, want := range map[string]string{
		"fetch fails": "# Bad exit\n", "config fails": "# Bad exit\n", "fetch killed": "# Bad exit\n", "fetch hangs": "# Timed out\n",
		"fetch flood": "# Bad exit\n", "fetch silent": "", "fetch binary": "a.value 1\n\x00\xff\xfe\nb.value 2\n", "fetch fds": "a.value 1\n",
		"fetch noone": "# Bad exit\n",
	} {
		if got := m.body(ask); got != want {
			t.Errorf("%s: %q, want %q", ask, got, want)
		}
	}
	for _, said := range []string{"no such table", "no-such-", "a lone dot", "too much output", "timed out"} {
		if !strings.Contains(n.log.String(), said) {
			t.Errorf("the log does not say %q:\n%s", said, n.log)
		}
	}
}

func TestTheSameComplaintIsLoggedOnce(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{"load": `echo "deprecated" >&2; echo "# debug" >&2; echo a.value 1`}})
	m := n.dial(t)
	for range 5 {
		m.body("fetch load")
	}
	if count := strings.Count(n.log.String(), "deprecated"); count != 1 || strings.Contains(n.log.String(), "# debug") {
		t.Errorf("%d times:\n%s", count, n.log)
	}
}

func TestAMasterThatAsksForAnotherNameIsLoggedOnce(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{"load": `echo a.value 1`}})
	for range 3 {
		m := n.dial(t)
		for _, name := range []string{"web1", "web2", "node1.example.com"} {
			m.ask("list " + name)
		}
	}
	for name, want := range map[string]int{"node=web1": 1, "node=web2": 1, "node=node1.example.com": 0} {
		if count := strings.Count(n.log.String(), name); count != want {
			t.Errorf("%s: %d times, want %d:\n%s", name, count, want, n.log)
		}
	}
}

func TestAPluginFindsMuninsEnvironment(t *testing.T) {
	n := startNode(t, setup{
		scripts: map[string]string{
			"env_x": `[ "$1" = config ] && exit 0; env; echo "args=$#"; pwd; echo "user=$(id -un)"; echo "group=$(id -gn)"; [ -d "$MUNIN_PLUGSTATE" ] && echo "state"; : > "$MUNIN_STATEFILE" && echo "statefile"`,
			"cmd":   `echo "args=$*"; echo "word=$word"`,
		},
		conf: "[env_*]\nenv.foo bar # x\nenv.LC_ALL de_DE\n[cmd]\ncommand env word=hello %c\n",
	})
	m := n.dial(t)
	got := strings.Split(m.body("fetch env_x"), "\n")
	for _, want := range []string{
		"INHERITED=yes", "foo=bar", "LC_ALL=de_DE", "LANG=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "MUNIN_CAP_MULTIGRAPH=1",
		"MUNIN_MASTER_IP=127.0.0.1", "FQDN=Node1.example.com", "PYTHONIOENCODING=utf8:replace", "MUNIN_DEBUG=0", "args=0", "/", "state", "statefile",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is missing in %q", want, got)
		}
	}
	user := fmt.Sprint(os.Getuid())
	if os.Getuid() == 0 {
		user = "nobody"
		if !slices.Contains(got, "user=nobody") {
			t.Errorf("root runs plugins as itself: %q", got)
		}
	}
	if want := "MUNIN_STATEFILE=" + n.dir + "/state/" + user + "/env_x-127.0.0.1"; !slices.Contains(got, want) {
		t.Errorf("%s is missing in %q", want, got)
	}
	if got := m.body("config cmd"); got != "args=config\nword=hello\n" {
		t.Errorf("command: %q", got)
	}
}

func TestANativePluginThatHangsOrPanicsCostsOnlyItself(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	native := fakeNative{
		"hangs": func(context.Context, string, map[string]string) ([]byte, error) {
			<-release
			return nil, nil
		},
		"panics": func(context.Context, string, map[string]string) ([]byte, error) { panic("index out of range") },
		"users": func(_ context.Context, verb string, env map[string]string) ([]byte, error) {
			return []byte("users.value " + env["count"] + env["MUNIN_CAP_DIRTYCONFIG"] + "\n"), nil
		},
	}
	n := startNode(t, setup{native: native, conf: "[hangs]\ntimeout 0.2\n[users]\nenv.count 4\n"})
	m := n.dial(t)
	m.ask("cap dirtyconfig")
	if got := m.body("fetch hangs") + m.body("fetch hangs") + m.body("fetch panics") + m.body("fetch users"); got != "# Timed out\n# Timed out\n# Bad exit\nusers.value 41\n" {
		t.Errorf("got %q", got)
	}
}

func TestStartUpWaitsForNoPlugin(t *testing.T) {
	n := startNode(t, setup{
		scripts: map[string]string{"slow": `sleep 20`, "load": loadScript},
		conf:    "[slow]\ntimeout 1\n",
		wait:    300 * time.Millisecond,
	})
	begin := time.Now()
	m := n.dial(t)
	if got := m.body("fetch load"); got != "load.value 0.10\n" {
		t.Errorf("fetch load %q", got)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("the first answer took %v", took)
	}
	if got := m.ask("list"); got != "load" {
		t.Errorf("list %q", got)
	}
}

func TestReloadTakesAnotherConfigurationOrLeavesAllAsItWas(t *testing.T) {
	n := startNode(t, setup{
		scripts: map[string]string{"load": loadScript, "env": `echo "x.label $word"`},
		conf:    "[env]\nenv.word before\n",
	})
	m := n.dial(t)
	if got := m.body("config env"); got != "x.label before\n" {
		t.Errorf("got %q", got)
	}
	n.write(t, "conf/test", "[env]\nenv.word after\n", 0o644)
	if err := n.server.Reload(t.Context(), n.config(t, "ignore_file ^load$")); err != nil {
		t.Fatal(err)
	}
	if got := m.body("config env"); got != "x.label after\n" {
		t.Errorf("got %q", got)
	}
	if got := n.dial(t).ask("list"); got != "env" {
		t.Errorf("list %q", got)
	}
	bad := n.config(t, "servicedir "+n.dir+"/node.conf")
	n.write(t, "node.conf", "a file is no folder", 0o644)
	if err := n.server.Reload(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "plugin folder") {
		t.Errorf("err = %v", err)
	}
	if got := m.ask("list"); got != "env" {
		t.Errorf("after a bad configuration: list %q", got)
	}
}

func TestADeniedClientSeesNoBanner(t *testing.T) {
	n := startNode(t, setup{config: `allow ^192\.0\.2\.1$`})
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", n.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if heard, _ := io.ReadAll(conn); len(heard) != 0 { // A reset is as good as an end.
		t.Errorf("heard %q", heard)
	}
	if !strings.Contains(n.log.String(), "denied") {
		t.Errorf("log:\n%s", n.log)
	}
}

func TestStoppingLetsACommandInProgressEnd(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{
		"slow": `[ "$1" = config ] && exit 0; : > "$MUNIN_STATEFILE"; sleep 0.5; echo a.value 1`,
	}})
	m := n.dial(t)
	idle := n.dial(t)
	if _, err := io.WriteString(m.conn, "fetch slow\nversion\n"); err != nil {
		t.Fatal(err)
	}
	awaitFile(t, n.dir+"/state/*/slow-127.0.0.1")
	if err := n.stop(); err != nil {
		t.Error(err)
	}
	heard, err := io.ReadAll(m.r)
	if err != nil || string(heard) != "a.value 1\n.\n" {
		t.Errorf("heard %q, %v", heard, err)
	}
	if heard, err := io.ReadAll(idle.r); err != nil || len(heard) != 0 {
		t.Errorf("a waiting session heard %q, %v", heard, err)
	}
}

// awaitFile waits until a file of a pattern exists.
func awaitFile(t *testing.T, pattern string) {
	t.Helper()
	testenv.Eventually(t, pattern+" comes", func() bool {
		found, _ := filepath.Glob(pattern) // The pattern is right.
		return len(found) > 0
	})
}

func TestParanoiaSkipsWhatOthersMayChange(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root owns files as paranoia wants them")
	}
	n := startNode(t, setup{scripts: map[string]string{"mine": loadScript, "yours": loadScript, "open": loadScript}, config: "paranoia yes"})
	if err := os.Chown(filepath.Join(n.dir, "plugins/yours"), 65534, -1); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(n.dir, "plugins/open"), 0o757); err != nil {
		t.Fatal(err)
	}
	if got := n.dial(t).ask("list"); got != "mine" {
		t.Errorf("list %q", got)
	}
}

func TestSessionsOfOneNodeAreApart(t *testing.T) {
	n := startNode(t, setup{scripts: map[string]string{"echo": `echo "a.label $MUNIN_CAP_DIRTYCONFIG"`}})
	var wg sync.WaitGroup
	for i := range 20 {
		m := n.dial(t)
		wg.Go(func() {
			want := regexp.MustCompile(`^a.label $`)
			if i%2 == 0 {
				_, _ = io.WriteString(m.conn, "cap dirtyconfig\n")
				_, _ = m.r.ReadString('\n')
				want = regexp.MustCompile(`^a.label 1$`)
			}
			for range 5 {
				_, _ = io.WriteString(m.conn, "config echo\n")
				line, err := m.r.ReadString('\n')
				dot, _ := m.r.ReadString('\n')
				if err != nil || !want.MatchString(strings.TrimSuffix(line, "\n")) || dot != ".\n" {
					t.Errorf("session %d: %q, %q, %v", i, line, dot, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestPluginsThatHangDoNotHideTheOthers(t *testing.T) {
	scripts := map[string]string{"good": loadScript}
	for i := range 24 {
		scripts[fmt.Sprintf("hangs%d", i)] = "exec sleep 60"
	}
	n := startNode(t, setup{scripts: scripts, wait: 8 * time.Second})
	if got := n.dial(t).ask("list"); got != "good" {
		t.Errorf("list %q", got)
	}
}
