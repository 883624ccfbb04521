// Package sh_test runs the plugins written in shell: against programs and files made up for the purpose, and
// for real on the machine that tests.
package sh_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"corbie/internal/testenv"
	"corbie/munin"
)

// shipped lists the plugins: every executable file of this folder.
func shipped(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			names = append(names, entry.Name())
		}
	}
	if len(names) < 5 {
		t.Fatalf("only %v are executable", names)
	}
	return names
}

// libdir is a folder as MUNIN_LIBDIR names it, holding this one as its plugins.
func libdir(t *testing.T) string {
	t.Helper()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(here, filepath.Join(dir, "plugins")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runFile runs a plugin by its path as a node does.
func runFile(t *testing.T, file string, env map[string]string, args ...string) (stdout []byte, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), file, args...)
	path := os.Getenv("PATH")
	if dir := env["bin"]; dir != "" {
		path = dir + ":" + path
	}
	cmd.Env = []string{"PATH=" + path, "MUNIN_CAP_MULTIGRAPH=1"}
	for _, key := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, key+"="+env[key])
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err = cmd.Output()
	if err != nil {
		return stdout, fmt.Errorf("%s %v: %w: %s", filepath.Base(file), args, err, stderr.Bytes())
	}
	return stdout, nil
}

// reportOf runs a plugin for its description and values, and wants both fit for a master.
func reportOf(t *testing.T, name, file string, env map[string]string) (config, fetch string) {
	t.Helper()
	described, err := runFile(t, file, env, "config")
	if err != nil {
		t.Fatal(err)
	}
	values, err := runFile(t, file, env)
	if err != nil {
		t.Fatal(err)
	}
	reply, fetched := munin.ParseConfig(name, described), munin.ParseFetch(name, values)
	if len(reply.Faults) > 0 || len(fetched.Faults) > 0 {
		t.Errorf("%s: %v %v", name, reply.Faults, fetched.Faults)
	}
	known := make(map[string]bool)
	for _, g := range reply.Graphs {
		if g.Title == g.Name || g.Category == "other" || g.VLabel == "" {
			t.Errorf("%s: the graph %s lacks title, category or vlabel", name, g.Name)
		}
		for _, f := range g.Fields {
			known[g.Name+"."+f.Name] = true
			if !bytes.Contains(described, []byte(f.Name+".label ")) {
				t.Errorf("%s: the field %s has no label", name, f.Name)
			}
		}
	}
	for _, s := range fetched.Samples {
		if id := s.Graph + "." + s.Field; !known[id] {
			t.Errorf("%s: %s has a value but is not described, or has two", name, id)
		} else {
			delete(known, id)
		}
	}
	for id := range known {
		t.Errorf("%s: %s is described but has no value", name, id)
	}
	env = maps.Clone(env)
	env["MUNIN_CAP_DIRTYCONFIG"] = "1"
	both, err := runFile(t, file, env, "config")
	if err != nil {
		t.Fatal(err)
	}
	if got := munin.ParseConfig(name, both); len(got.Samples) != len(fetched.Samples) || len(got.Faults) > 0 {
		t.Errorf("%s: config carries %d values where the master takes them, fetch %d; %v", name, len(got.Samples), len(fetched.Samples), got.Faults)
	}
	return string(described), string(values)
}

func TestPluginsAreWellFormed(t *testing.T) {
	marker := regexp.MustCompile(`(?m)^#%# family=(auto|manual)$`)
	for _, name := range append(shipped(t), "plugin.sh") {
		if out, err := exec.Command("sh", "-n", name).CombinedOutput(); err != nil {
			t.Errorf("sh -n %s: %v: %s", name, err, out)
		}
		if name == "plugin.sh" {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("#!/bin/sh\n# "+name+": ")) {
			t.Errorf("%s does not begin with #!/bin/sh and a line that says what it is", name)
		}
		for _, want := range []string{"#%# capabilities=autoconf", "LC_ALL=C\nexport LC_ALL", `. "$MUNIN_LIBDIR/plugins/plugin.sh"`} {
			if !bytes.Contains(text, []byte(want)) {
				t.Errorf("%s lacks %q", name, want)
			}
		}
		if !marker.Match(text) {
			t.Errorf("%s does not say its family", name)
		}
		if err := munin.ValidatePluginName(name); err != nil {
			t.Error(err)
		}
	}
}

func TestPluginsRunOnThisMachine(t *testing.T) {
	answer := regexp.MustCompile(`^(yes|no \(.+\))\n$`)
	libdirs := []string{libdir(t)}
	if _, err := os.Stat("/usr/share/munin/plugins/plugin.sh"); err == nil {
		libdirs = append(libdirs, "/usr/share/munin") // Munin's functions do as well
	}
	for _, dir := range libdirs {
		for _, name := range shipped(t) {
			file, err := filepath.Abs(name)
			if err != nil {
				t.Fatal(err)
			}
			env := map[string]string{"MUNIN_LIBDIR": dir}
			out, err := runFile(t, file, env, "autoconf")
			if err != nil || !answer.Match(out) {
				t.Errorf("%s autoconf: %q, %v", name, out, err)
			}
			if string(out) == "yes\n" && !strings.HasSuffix(name, "_") {
				reportOf(t, name, file, env)
			}
		}
	}
}

func TestPluginsReportMadeUpMachines(t *testing.T) {
	bin, err := filepath.Abs("testdata/bin")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Abs("testdata/files")
	if err != nil {
		t.Fatal(err)
	}
	old := t.TempDir()
	stamp(t, filepath.Join(old, "required"), 36*time.Hour)
	stamp(t, filepath.Join(old, "backup-1.gz"), 50*time.Hour)
	stamp(t, filepath.Join(old, "backup-2.gz"), 2*time.Hour)
	field := strings.NewReplacer("/", "_", "-", "_", "*", "_", ".", "_").Replace(old)
	for _, c := range []struct {
		plugin string
		env    map[string]string
		config []string // lines that it must say
		fetch  string
	}{
		{
			"systemd_units", nil,
			[]string{"failed.warning 0", "failed.extinfo nginx.service, backup.service"},
			"active.value 2\ninactive.value 1\nactivating.value 1\ndeactivating.value 0\nreloading.value 0\nfailed.value 2\n",
		},
		{
			"raid_md",
			map[string]string{"mdstat": files + "/mdstat", "md1_critical": "1"},
			[]string{"md0.label md0 (raid1)", "md0.critical 0", "md1.critical 1", "md2.label md2 (raid1)", "md127.label md127 (inactive)"},
			"md0.value 0\nmd1.value 1\nmd2.value 1\nmd127.value 2\n",
		},
		{"ping_db1.example.net", nil, []string{"ping.label db1.example.net", "packetloss.critical 99"}, "ping.value 0.000040\npacketloss.value 0\n"},
		{"ping_silent", nil, nil, "ping.value U\npacketloss.value 100\n"},
		{"ping_busybox", nil, nil, "ping.value 0.002500\npacketloss.value 33\n"},
		{"ping_unheard", nil, nil, "ping.value U\npacketloss.value U\n"},
		{"clock_offset", nil, []string{"offset.warning -0.5:0.5"}, "offset.value 0.000003250\n"},
		{"clock_offset", map[string]string{"CLOCK": "slow", "warning": "-1:1"}, []string{"offset.warning -1:1"}, "offset.value -0.750000000\n"},
		{"clock_offset", map[string]string{"CLOCK": "lost"}, nil, "offset.value U\n"},
		{"clock_offset", map[string]string{"CLOCK": "ntp"}, nil, "offset.value 0.001250000\n"},
		{"clock_offset", map[string]string{"CLOCK": "timesyncd"}, nil, "offset.value -62.500000000\n"},
		{"oom_kill", map[string]string{"vmstat": files + "/vmstat"}, []string{"oom_kill.type DERIVE", "oom_kill.warning 0"}, "oom_kill.value 7\n"},
		{
			"readonly_mounts",
			map[string]string{"fstab": files + "/fstab", "mounts": files + "/mounts"},
			[]string{`readonly.extinfo /srv/my\040data`},
			"readonly.value 1\n",
		},
		{"reboot_required", map[string]string{"marker": old + "/required"}, []string{"days.warning 7"}, "days.value 1.500\n"},
		{"reboot_required", map[string]string{"marker": old + "/nothing", "modules": old + "/nothing"}, nil, "days.value 0\n"},
		{
			"file_age",
			map[string]string{"files": old + "/backup-*.gz " + old + "/none-*", "warning": "26"},
			[]string{field + "_backup___gz.warning 26", "missing.critical 0"},
			field + "_backup___gz.value 2.00\n" + field + "_none__.value U\nmissing.value 1\n",
		},
	} {
		t.Run(c.plugin, func(t *testing.T) {
			env := map[string]string{"MUNIN_LIBDIR": libdir(t), "bin": bin}
			maps.Copy(env, c.env)
			config, fetch := reportOf(t, munin.SanitisePlugin(c.plugin), link(t, c.plugin), env)
			if fetch != c.fetch {
				t.Errorf("values are %q, want %q", fetch, c.fetch)
			}
			for _, line := range c.config {
				if !strings.Contains("\n"+config, "\n"+strings.TrimSpace(line)) {
					t.Errorf("config lacks %q:\n%s", line, config)
				}
			}
		})
	}
}

// link makes a link of that name to the plugin, as an administrator does for wildcards.
func link(t *testing.T, name string) string {
	t.Helper()
	target := name
	if i := strings.Index(name, "_"); strings.HasPrefix(name, "ping_") {
		target = name[:i+1]
	}
	file, err := filepath.Abs(target)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(file, at); err != nil {
		t.Fatal(err)
	}
	return at
}

func stamp(t *testing.T, file string, age time.Duration) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if at := time.Now().Add(-age); os.Chtimes(file, at, at) != nil {
		t.Fatal("cannot set the time of " + file)
	}
}

func TestPingRefusesWhatIsNoHost(t *testing.T) {
	for _, host := range []string{"-f", "a b", "$(id)", "a;b"} {
		env := map[string]string{"MUNIN_LIBDIR": libdir(t), "host": host}
		if out, err := runFile(t, link(t, "ping_x"), env); err == nil {
			t.Errorf("ping_ takes %q for a host: %s", host, out)
		}
	}
}

func TestCertDaysReadsFilesAndServers(t *testing.T) {
	testenv.Program(t, "openssl")
	dir := t.TempDir()
	certificate := func(name string, end time.Time) string {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: end.AddDate(-1, 0, 0), NotAfter: end}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	address := server.Listener.Addr().String()
	wants := map[string]time.Time{
		certificate("soon.pem", time.Now().AddDate(0, 0, 10)):                                {},
		certificate("over.pem", time.Now().AddDate(0, 0, -3)):                                {},
		certificate("leap.pem", time.Date(2032, time.February, 29, 23, 59, 59, 0, time.UTC)): {},
		certificate("late.pem", time.Date(2049, time.December, 31, 0, 0, 0, 0, time.UTC)):    {},
		address: server.Certificate().NotAfter,
	}
	for file := range wants {
		if text, err := os.ReadFile(file); err == nil {
			block, _ := pem.Decode(text)
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			wants[file] = c.NotAfter
		}
	}
	env := map[string]string{
		"MUNIN_LIBDIR": libdir(t),
		"certs":        strings.Join(slices.Sorted(maps.Keys(wants)), " ") + " " + dir + "/*.none " + dir + "/missing.pem",
	}
	_, fetch := reportOf(t, "cert_days", link(t, "cert_days"), env)
	got := munin.ParseFetch("cert_days", []byte(fetch)).Samples
	if len(got) != len(wants)+1 {
		t.Fatalf("values are %s", fetch)
	}
	for i, item := range slices.Sorted(maps.Keys(wants)) {
		days := time.Until(wants[item]).Hours() / 24
		if d := got[i].Value - days; !(d > -0.02 && d < 0.02) {
			t.Errorf("%s: %v days, want %v", item, got[i].Value, days)
		}
	}
	if last := got[len(got)-1]; last.Value == last.Value {
		t.Errorf("a missing file has %v days", last.Value)
	}
}

func TestHTTPTimeTellsPagesThatFail(t *testing.T) {
	testenv.Program(t, "curl")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/good" {
			http.Error(w, "no", http.StatusInternalServerError)
		}
	}))
	defer server.Close()
	env := map[string]string{"MUNIN_LIBDIR": libdir(t), "urls": server.URL + "/good " + server.URL + "/bad*?", "no_proxy": "*"}
	_, fetch := reportOf(t, "http_time", link(t, "http_time"), env)
	s := munin.ParseFetch("http_time", []byte(fetch)).Samples
	if len(s) != 3 || !(s[0].Value >= 0 && s[0].Value < 10) || s[1].Value == s[1].Value || s[2].Value != 1 || s[2].Graph != "http_time_failed" {
		t.Errorf("values are %s", fetch)
	}
}

// TestFunctionsDoWhatMuninsDo runs plugins of Debian's with our plugin.sh and with Munin's.
func TestFunctionsDoWhatMuninsDo(t *testing.T) {
	testenv.Program(t, "munin-run")
	for _, name := range []string{"cpu", "load", "swap", "uptime", "open_files", "processes", "netstat", "interrupts", "forks", "entropy"} {
		for _, levels := range []map[string]string{
			nil,
			{"warning": "10", "critical": "20"},
			{"user_warning": "50%", "user_critical": "10%:90%", "load_warning": "3", "zombie_critical": "1:5", "warning": "7"},
		} {
			file := "/usr/share/munin/plugins/" + name
			ours, theirs := map[string]string{"MUNIN_LIBDIR": libdir(t)}, map[string]string{"MUNIN_LIBDIR": "/usr/share/munin"}
			maps.Copy(ours, levels)
			maps.Copy(theirs, levels)
			a, err := runFile(t, file, ours, "config")
			if err != nil {
				t.Fatal(err)
			}
			b, err := runFile(t, file, theirs, "config")
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(a, b) {
				t.Errorf("%s with %v says with our plugin.sh\n%s\nand with Munin's\n%s", name, levels, a, b)
			}
		}
	}
}

func TestFunctionsInDetail(t *testing.T) {
	for _, c := range []struct{ script, want string }{
		{`clean_fieldname /dev/sda1`, "_dev_sda1\n"},
		{`clean_fieldname root`, "__root\n"},
		{`clean_fieldname 'a b.c'`, "a_b_c\n"},
		{`adjust_threshold 50%:75% 200`, "100:150\n"},
		{`adjust_threshold :75% 200`, ":150\n"},
		{`adjust_threshold 12 200`, "12\n"},
		{`warning=92; print_warning x`, "x.warning 92\n"},
		{`warning=92; x_warning=50; print_warning x`, "x.warning 50\n"},
		{`mine=3; warning=92; x_warning=50; print_warning x mine`, "x.warning 3\n"},
		{`print_warning x`, ""},
		{`warning=1; critical=2; print_thresholds x`, "x.warning 1\nx.critical 2\n"},
		{`warning=20%; critical=40%; print_adjusted_thresholds user 800`, "user.warning 160\nuser.critical 320\n"},
		{`warning=1; print_warning 'x$(echo bad)'`, "x$(echo bad).warning 1\n"},
		{`is_dirtyconfig && echo yes || echo no`, "no\n"},
		{`MUNIN_CAP_DIRTYCONFIG=1; is_dirtyconfig && echo yes || echo no`, "yes\n"},
		{`is_multigraph config; echo goes on`, "goes on\n"},
		{`MUNIN_CAP_MULTIGRAPH=0; is_multigraph autoconf; echo goes on`, "no (this plugin needs multigraph)\n"},
	} {
		file := filepath.Join(t.TempDir(), "script")
		text := "#!/bin/sh\n. \"$MUNIN_LIBDIR/plugins/plugin.sh\"\n" + c.script + "\n"
		if err := os.WriteFile(file, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
		out, err := runFile(t, file, map[string]string{"MUNIN_LIBDIR": libdir(t)})
		if err != nil || string(out) != c.want {
			t.Errorf("%s: %q, %v, want %q", c.script, out, err, c.want)
		}
	}
}
