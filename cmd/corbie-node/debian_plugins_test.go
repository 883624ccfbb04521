package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"corbie/internal/testenv"
)

// leastPlugins is how many of Debian's plugins must be compared at least.
const leastPlugins = 60

// TestDebiansPluginsSayTheSameThroughBothNodes runs the services that Debian's plugins look at, links every plugin
// that finds something to measure, and compares what our node and Debian's say of each: all lines, and in them
// everything but the numbers that change with time.
func TestDebiansPluginsSayTheSameThroughBothNodes(t *testing.T) {
	t.Parallel()
	testenv.Program(t, "munin-node")
	testenv.Root(t)
	for pkg, program := range servicePrograms() {
		_, err := exec.LookPath(program)
		testenv.Need(t, program+" (Debian's "+pkg+")", err == nil)
	}
	for pkg, module := range perlModules() {
		err := exec.CommandContext(t.Context(), "perl", "-M"+module, "-e", "1").Run()
		testenv.Need(t, "the Perl module "+module+" (Debian's "+pkg+")", err == nil)
	}
	s := startServices(t)
	config := s.configureNodes(t)
	linked := s.linkPlugins(t, config)

	begin := time.Now()
	theirs := s.startMuninNode(t)
	t.Logf("munin-node listens after %v", time.Since(begin).Round(time.Millisecond))
	d := startNode(t, "corbie-node", "--config", config)
	c := &comparison{ours: dialClient(t, d.addr), theirs: dialClient(t, theirs)}
	defer c.ours.conn.Close()
	defer c.theirs.conn.Close()

	nodes := []string{"", "127.0.0.1"} // The SNMP plugins speak for another host.
	var listed []string
	for _, name := range nodes {
		list := strings.Fields(c.ours.ask("list " + name))
		if other := strings.Fields(c.theirs.ask("list " + name)); !slices.Equal(list, slices.Sorted(slices.Values(other))) {
			t.Errorf("of %q we list %q,\nmunin-node %q", name, list, other)
		}
		listed = append(listed, list...)
	}
	if ours, theirs := c.both("nodes"); len(ours) != len(nodes) || !slices.Equal(slices.Sorted(slices.Values(ours)), slices.Sorted(slices.Values(theirs))) {
		t.Errorf("we speak for %q, munin-node for %q", ours, theirs)
	}
	kinds := make(map[string]bool)
	for _, name := range listed {
		kinds[linked[name]] = true
		c.compare(t, name)
	}
	t.Logf("%d plugins of Debian's, linked under %d names, say the same through both nodes: %d lines of config, %d of values, in %v",
		len(kinds), c.same, c.configLines, c.fetchLines, time.Since(begin).Round(time.Millisecond))
	t.Logf("%q", listed)
	t.Logf("asked again, as there was nothing to measure yet or the machine changed: %q", c.again)
	if len(kinds) < leastPlugins {
		t.Errorf("only %d plugins were compared, want %d", len(kinds), leastPlugins)
	}
	d.Stop(t)
}

// configureNodes writes one configuration for both nodes: Debian's settings for plugins, then those that lead them
// to the services. Each node has a folder for the plugins' state of its own.
func (s *services) configureNodes(t *testing.T) (path string) {
	t.Helper()
	for _, name := range []string{"plugins", "ours", "theirs", "node"} {
		if err := os.Mkdir(filepath.Join(s.dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(s.dir, "plugin-conf.d"), os.DirFS("/etc/munin/plugin-conf.d")); err != nil {
		t.Fatal(err)
	}
	// Perl shuffles what it has in tables, unless told not to; so even the order of lines can be compared.
	testenv.WriteFile(t, filepath.Join(s.dir, "plugin-conf.d/zzz-services"), s.settings.String()+"[*]\nenv.PERL_HASH_SEED 0\nenv.PERL_PERTURB_KEYS 0\n", 0o644)
	path = filepath.Join(s.dir, "munin-node.conf")
	testenv.WriteFile(t, path, fmt.Sprintf("log_level 4\nlog_file %[1]s/node/log\npid_file %[1]s/node/pid\nbackground 0\nsetsid 0\nuser root\ngroup root\n"+
		"host_name node1.example.com\nallow ^127\\.0\\.0\\.1$\nhost 127.0.0.1\nport %[2]s\nglobal_timeout 900\nignore_file \\.bak$\n"+
		"servicedir plugins\nsconfdir plugin-conf.d\nlibdir /usr/share/munin\nstatedir ours\nnative no\n", s.dir, s.port(t, "munin-node")), 0o644)
	return path
}

// linkPlugins links what finds something to measure, and returns the plugins by the names of their links.
func (s *services) linkPlugins(t *testing.T, config string) map[string]string {
	t.Helper()
	out := runConfigure(t, "corbie-node", "configure", "--config", config, "--libdir", debianLibrary, "--families", "auto,manual,contrib", "--apply")
	out += runConfigure(t, "corbie-node", "configure", "--config", config, "--libdir", debianLibrary, "--apply",
		"--snmp", "127.0.0.1", "--snmpport", s.ports["snmpd"], "--snmpcommunity", "secret")
	linked := make(map[string]string)
	somebodys := regexp.MustCompile(`^port_\d`) // Whoever listens on a port without a name is gone in a moment.
	for _, found := range regexp.MustCompile(`(?m)^add (\S+) \(to .*/([^/]+)\)$`).FindAllStringSubmatch(out, -1) {
		if linked[found[1]] = found[2]; somebodys.MatchString(found[1]) {
			delete(linked, found[1])
			if err := os.Remove(filepath.Join(s.dir, "plugins", found[1])); err != nil {
				t.Fatal(err)
			}
		}
	}
	// These say yes but suggest nothing: memcached_ because its markers do not say that it could, psu_ ever. Nor
	// does haproxy_ng know autoconf; it is here because haproxy has no other.
	for name, plugin := range map[string]string{
		"memcached_bytes": "memcached_", "memcached_counters": "memcached_", "memcached_rates": "memcached_",
		"psu_www-data": "psu_", "haproxy_ng": "haproxy_ng",
	} {
		linked[name] = plugin
		if err := os.Symlink(filepath.Join(debianLibrary, plugin), filepath.Join(s.dir, "plugins", name)); err != nil {
			t.Fatal(err)
		}
	}
	return linked
}

// startMuninNode starts Debian's node with its folders where those of the test are. It has no option for them:
// the module that knows them comes from a folder of ours, with two lines changed.
func (s *services) startMuninNode(t *testing.T) (address string) {
	t.Helper()
	module, err := os.ReadFile("/usr/share/perl5/Munin/Common/Defaults.pm")
	if err != nil {
		t.Fatal(err)
	}
	text := string(module)
	for name, path := range map[string]string{"CONFDIR": s.dir, "PLUGSTATE": s.dir + "/theirs"} {
		pattern := regexp.MustCompile(`(?m)^(our \$MUNIN_` + name + `\s*=).*$`)
		if !pattern.MatchString(text) {
			t.Fatalf("%s is not in Munin's defaults", name)
		}
		text = pattern.ReplaceAllString(text, "${1} q{"+path+"};")
	}
	testenv.WriteFile(t, filepath.Join(s.dir, "perl/Munin/Common/Defaults.pm"), text, 0o644)
	cmd := exec.CommandContext(t.Context(), "/usr/sbin/munin-node", "--config", s.dir+"/munin-node.conf", "--foreground")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), "PERL5LIB="+s.dir+"/perl")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // It may have ended by itself.
		_ = cmd.Wait()
	})
	address = "127.0.0.1:" + s.ports["munin-node"]
	testenv.AwaitListener(t, address)
	return address
}

// comparison asks two nodes the same.
type comparison struct {
	ours, theirs                  *client
	same, configLines, fetchLines int
	again                         []string // what had to be asked more than once
}

// compare asks both nodes for one plugin, at most thrice: some plugins need a second
// visit to have something to say, and a machine may change between two questions.
func (c *comparison) compare(t *testing.T, name string) {
	t.Helper()
	const (
		tries = 3
		pause = 1500 * time.Millisecond // Some plugins cannot say anything twice in a second.
	)
	var differences []string
	for try := range tries {
		if try > 0 {
			c.again = append(c.again, name)
			<-time.After(pause)
		}
		config, others := c.both("config " + name)
		values, otherValues := c.both("fetch " + name)
		differences = append(difference(config, others), difference(values, otherValues)...)
		if !says(config, ".label ") || !says(values, ".value ") {
			differences = append(differences, fmt.Sprintf("nothing is measured: %q, %q", config, values))
		}
		if len(differences) == 0 {
			c.same++
			c.configLines += len(config)
			c.fetchLines += len(values)
			return
		}
	}
	t.Errorf("%s: - ours, + munin-node's:\n%s", name, strings.Join(differences, "\n"))
}

func says(lines []string, what string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, what) })
}

func (c *comparison) both(command string) (ours, theirs []string) {
	return c.ours.lines(command), c.theirs.lines(command)
}

// lines is the answer to a command that ends with a dot.
func (c *client) lines(command string) []string {
	var lines []string
	for line := c.ask(command); line != "."; line = c.line() {
		if line != "" { // When a plugin's output begins with an empty line, munin-node passes that one on. Masters skip it.
			lines = append(lines, line)
		}
	}
	return lines
}

var numberPattern = regexp.MustCompile(`^([^\s.]\S*\.value\s+)(\d+:)?-?[0-9.]+(?:[eE][-+]?[0-9]+)?\s*$`)

// difference lists the lines in which two answers differ, as far as it is not a number after .value.
func difference(ours, theirs []string) []string {
	var found []string
	for i := range max(len(ours), len(theirs)) {
		var a, b string
		if i < len(ours) {
			a = ours[i]
		}
		if i < len(theirs) {
			b = theirs[i]
		}
		if numberPattern.ReplaceAllString(a, "${1}N") != numberPattern.ReplaceAllString(b, "${1}N") {
			found = append(found, "- "+a, "+ "+b)
		}
	}
	return found
}
