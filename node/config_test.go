package node_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/node"
)

func parseConfig(t *testing.T, text string) *node.Config {
	t.Helper()
	cfg, err := node.ParseConfig("/etc/corbie/node.conf", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestDebiansConfigurationIsRead(t *testing.T) {
	text, err := os.ReadFile("testdata/munin-node.conf")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := node.ParseConfig("/etc/munin/munin-node.conf", text)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(cfg.Listen, []string{":4949"}) || cfg.User != "root" || cfg.Group != "root" || cfg.Name != "" {
		t.Errorf("listen %q, user %q, group %q, name %q", cfg.Listen, cfg.User, cfg.Group, cfg.Name)
	}
	if cfg.Timeout != time.Minute || cfg.GlobalTimeout != 15*time.Minute || len(cfg.Warnings) != 0 {
		t.Errorf("timeouts %v, %v; warnings %q", cfg.Timeout, cfg.GlobalTimeout, cfg.Warnings)
	}
	if want := []string{"log_level", "log_file", "pid_file", "background", "setsid"}; !slices.Equal(cfg.Ineffective, want) {
		t.Errorf("without effect: %q, want %q", cfg.Ineffective, want)
	}
	if cfg.ServiceDir != "/etc/munin/plugins" || cfg.SconfDir != "/etc/munin/plugin-conf.d" || cfg.StateDir != "/var/lib/munin-node/plugin-state" {
		t.Errorf("folders %q, %q, %q", cfg.ServiceDir, cfg.SconfDir, cfg.StateDir)
	}
	for name, ignored := range map[string]bool{"cpu": false, "cpu~": true, "#cpu#": true, "cpu.bak": true, "cpu.dpkg-old": true} {
		got := slices.ContainsFunc(cfg.Ignore, func(re *regexp.Regexp) bool { return re.MatchString(name) })
		if got != ignored {
			t.Errorf("%s: ignored %v", name, got)
		}
	}
	if !cfg.Access.Allows(netip.MustParseAddr("127.0.0.1")) || !cfg.Access.Allows(netip.MustParseAddr("::1")) ||
		cfg.Access.Allows(netip.MustParseAddr("127.0.0.11")) {
		t.Error("the access list is not that of the file")
	}
}

func TestEveryKeyHasItsEffect(t *testing.T) {
	cfg := parseConfig(t, `
host 192.0.2.1   # two addresses
host [2001:db8::1]
port 4950
HOST_NAME web1.example.com
timeout 5.5
global_timeout 120
max_servers 7
paranoia on
default_plugin_user daemon
default_client_group adm
servicedir /srv/plugins
sconfdir /srv/plugin-conf.d
libdir /srv/lib
statedir /srv/state
native cpu, if_*
`)
	if want := []string{"192.0.2.1:4950", "[2001:db8::1]:4950"}; !slices.Equal(cfg.Listen, want) {
		t.Errorf("listen %q", cfg.Listen)
	}
	if cfg.Name != "web1.example.com" || cfg.Timeout != 5500*time.Millisecond || cfg.GlobalTimeout != 2*time.Minute ||
		cfg.MaxSessions != 7 || !cfg.Paranoia || cfg.PluginUser != "daemon" || cfg.PluginGroup != "adm" {
		t.Errorf("%+v", cfg)
	}
	if cfg.ServiceDir != "/srv/plugins" || cfg.SconfDir != "/srv/plugin-conf.d" || cfg.LibDir != "/srv/lib" || cfg.StateDir != "/srv/state" {
		t.Errorf("folders: %+v", cfg)
	}
	for name, want := range map[string]bool{"cpu": true, "cpu2": false, "if_eth0": true, "if_": true, "load": false} {
		if cfg.Native.Has(name) != want {
			t.Errorf("native %s: %v", name, !want)
		}
	}
	if parseConfig(t, "native no").Native.Has("cpu") || !parseConfig(t, "native yes").Native.Has("cpu") || !parseConfig(t, "").Native.Has("cpu") {
		t.Error("native yes and no")
	}
}

func TestAllMistakesAreNamedAtOnceWithTheirLines(t *testing.T) {
	_, err := node.ParseConfig("node.conf", []byte("port 70000\nallow (\n\njusttext\ntimeout soon\nparanoia maybe\ncidr_allow nowhere\ntls on\n"+
		"ignore_file [\nnative ../cpu\nmax_servers 0\nhost a b\nbad-key x\n"))
	if err == nil {
		t.Fatal("nothing is wrong")
	}
	lines := strings.Split(err.Error(), "\n")
	var got []string
	for _, line := range lines {
		got = append(got, strings.SplitN(line, " ", 2)[0])
	}
	want := []string{
		"node.conf:1:", "node.conf:2:", "node.conf:4:", "node.conf:5:", "node.conf:6:", "node.conf:7:", "node.conf:8:",
		"node.conf:9:", "node.conf:10:", "node.conf:11:", "node.conf:12:", "node.conf:13:",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", err)
	}
}

func TestAnUnknownKeyIsAWarning(t *testing.T) {
	cfg := parseConfig(t, "timout 5\n")
	if len(cfg.Warnings) != 1 || !strings.Contains(cfg.Warnings[0], `node.conf:1: unknown key "timout"`) {
		t.Errorf("warnings %q", cfg.Warnings)
	}
}

func TestHashMarksInValuesAreWrittenWithABackslash(t *testing.T) {
	cfg := parseConfig(t, `ignore_file [\#~]$ # comment`+"\n"+`host_name a\#b # c \# d`)
	if len(cfg.Ignore) != 1 || cfg.Ignore[0].String() != "[#~]$" || cfg.Name != "a#b" {
		t.Errorf("%v, %q", cfg.Ignore, cfg.Name)
	}
}

func TestAccessIsDecidedAsMuninsNodeDoes(t *testing.T) {
	for name, test := range map[string]struct {
		rules string
		yes   string
		no    string
	}{
		"no rule: only this machine":        {"", "127.0.0.1 127.9.9.9 ::1 ::ffff:127.0.0.1", "10.0.0.1 2001:db8::1"},
		"an expression is the whole text":   {`allow 10\.0\.0\.1`, "10.0.0.1 ::ffff:10.0.0.1", "10.0.0.11 110.0.0.1 127.0.0.1"},
		"networks":                          {"cidr_allow 10.0.0.0/8 192.0.2.7\ncidr_allow 2001:db8::/32", "10.1.2.3 192.0.2.7 2001:db8::9", "11.0.0.1 192.0.2.8 2001:db9::1"},
		"a denial wins":                     {"cidr_allow 10.0.0.0/8\ncidr_deny 10.0.0.5/32\ndeny ^10\\.0\\.1\\.\\d+$", "10.0.0.6", "10.0.0.5 10.0.1.9"},
		"with a denial only, nobody may":    {"deny ^10\\.0\\.0\\.5$", "", "10.0.0.5 10.0.0.6 127.0.0.1"},
		"expressions and networks together": {"allow ^192\\.0\\.2\\.1$\ncidr_allow 10.0.0.0/8", "192.0.2.1 10.0.0.1", "192.0.2.2"},
	} {
		t.Run(name, func(t *testing.T) {
			access := parseConfig(t, test.rules).Access
			for _, addr := range strings.Fields(test.yes) {
				if !access.Allows(netip.MustParseAddr(addr)) {
					t.Errorf("%s may not", addr)
				}
			}
			for _, addr := range strings.Fields(test.no) {
				if access.Allows(netip.MustParseAddr(addr)) {
					t.Errorf("%s may", addr)
				}
			}
			if access.Allows(netip.Addr{}) {
				t.Error("somebody without an address may")
			}
		})
	}
}

func TestAConfigurationThatIsTooLargeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.conf")
	if err := os.WriteFile(path, []byte(strings.Repeat("# comment\n", 200_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := node.LoadConfig(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("err = %v", err)
	}
	if _, err := node.LoadConfig(path + ".missing"); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("err = %v", err)
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		"host *\nport 4949\nallow ^127\\.0\\.0\\.1$\n", "# comment\n\\#", "native yes\nnative cpu*", "cidr_allow ::/0", "timeout 1e9",
		"timeout NaN\nglobal_timeout -1", "ignore_file [\\#~]$", "host [::1]\r\nhost\tx\r\n", "allow (((((", "key\x00 value",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cfg, err := node.ParseConfig("f", []byte(text))
		if err != nil {
			return
		}
		if cfg.Timeout <= 0 || cfg.GlobalTimeout <= 0 || cfg.MaxSessions < 1 || len(cfg.Listen) == 0 || cfg.ServiceDir == "" {
			t.Errorf("%q gave %+v", text, cfg)
		}
		cfg.Native.Has("cpu")
		cfg.Access.Allows(netip.MustParseAddr("192.0.2.1"))
	})
}
