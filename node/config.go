package node

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
	"corbie/munin/wire"
)

// maxConfigBytes is more than any hand-written configuration has.
const maxConfigBytes = 1 << 20

// Folders that are used where the configuration names none.
const (
	muninFolder  = "/etc/munin"
	corbieFolder = "/etc/corbie"
)

// Config is a valid configuration of a node.
type Config struct {
	// Name of the node as it is told to masters; empty when the machine's own name is to be used.
	Name   string
	Listen []string // host:port
	Access Access

	Timeout       time.Duration // of one plugin's run
	GlobalTimeout time.Duration // of one session
	MaxSessions   int           // at the same time
	Ignore        []*regexp.Regexp
	Paranoia      bool // trust only plugins that nobody but root can change

	// User and Group are what the daemon itself becomes when root started it; empty means it stays root,
	// which it needs to run plugins as different users.
	User, Group string
	// PluginUser and PluginGroup are used for plugins without a user or group of their own.
	PluginUser, PluginGroup string

	ServiceDir string // plugin folder
	SconfDir   string // plugin-conf.d
	// LibDir is MUNIN_LIBDIR, which holds plugins/plugin.sh, and StateDir is MUNIN_PLUGSTATE without the user.
	// Both are empty when the file names none; whoever starts the node fills them in, like Name.
	LibDir, StateDir string
	Native           NativeChoice

	Transport
	Sampling

	// Warnings are lines that were ignored, with file and line.
	Warnings []string
	// Ineffective names the keys that Munin's node knows and this one does not use.
	Ineffective []string

	folder string // MUNIN_CONFDIR
	ports  []string
	hosts  []string
}

// NativeChoice says which native plugins to offer.
type NativeChoice struct {
	None  bool
	Names []string // names, or beginnings of names with a star at the end; empty means all
}

// Has says whether a native plugin is to be offered.
func (n NativeChoice) Has(name string) bool {
	if n.None {
		return false
	}
	if len(n.Names) == 0 {
		return true
	}
	return slices.ContainsFunc(n.Names, func(want string) bool {
		prefix, star := strings.CutSuffix(want, "*")
		return name == want || star && strings.HasPrefix(name, prefix)
	})
}

// DefaultConfig is the configuration without a file: on loopback, with the folders of /etc/corbie.
func DefaultConfig() *Config {
	c := newConfig()
	c.hosts = []string{"127.0.0.1"}
	_ = c.finish(corbieFolder) // Defaults are right.
	return c
}

func newConfig() *Config {
	return &Config{
		Timeout:       60 * time.Second,
		GlobalTimeout: wire.MaxSession,
		MaxSessions:   256,
		PluginUser:    "nobody",
		Transport:     newTransport(),
		Sampling:      newSampling(),
	}
}

// LoadConfig reads a file in the form of munin-node.conf. The error names every line that is wrong.
func LoadConfig(path string) (*Config, error) {
	text, err := readLimited(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return ParseConfig(path, text)
}

func readLimited(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxConfigBytes+1))
	if err == nil && len(text) > maxConfigBytes {
		err = fmt.Errorf("%s is larger than %d bytes", path, maxConfigBytes)
	}
	return text, err
}

// ParseConfig reads the text of a munin-node.conf. The name is for messages, and its folder decides where the
// plugins are by default: in Munin's folders when it is /etc/munin. Folders that the text names relatively are
// beside it.
func ParseConfig(name string, text []byte) (*Config, error) {
	c := newConfig()
	var faults []error
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		line = stripComment(line)
		if line == "" {
			continue
		}
		at := fmt.Sprintf("%s:%d", name, n)
		key, value, ok := cutBlank(line)
		if !ok || !isWord(key) {
			faults = append(faults, fmt.Errorf("%s: want a key and a value, not %q", at, clip(line)))
			continue
		}
		if err := c.set(at, key, value); err != nil {
			faults = append(faults, fmt.Errorf("%s: %s: %w", at, key, err))
		}
	}
	for _, folder := range []*string{&c.ServiceDir, &c.SconfDir, &c.LibDir, &c.StateDir, &c.SpoolDir, &c.TLS.Key, &c.TLS.Certificate, &c.TLS.CA} {
		if *folder != "" && !filepath.IsAbs(*folder) {
			*folder = filepath.Join(filepath.Dir(name), *folder)
		}
	}
	faults = append(faults, c.finish(filepath.Dir(name)))
	return c, errors.Join(faults...)
}

// finish works out what follows from what was said.
func (c *Config) finish(folder string) error {
	if folder != muninFolder {
		folder = corbieFolder
	}
	setDefault(&c.ServiceDir, filepath.Join(folder, "plugins"))
	setDefault(&c.SconfDir, filepath.Join(folder, "plugin-conf.d"))
	if folder == muninFolder {
		setDefault(&c.StateDir, "/var/lib/munin-node/plugin-state")
	}
	c.folder = folder
	if len(c.hosts) == 0 && !c.onlySocket {
		c.hosts = []string{""}
	}
	if len(c.ports) == 0 {
		c.ports = []string{wire.DefaultPort}
	}
	for _, host := range c.hosts {
		for _, port := range c.ports {
			c.Listen = append(c.Listen, net.JoinHostPort(host, port))
		}
	}
	return c.Transport.finish(folder)
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

// set takes one key. The configuration stays as it was when the value is wrong.
func (c *Config) set(at, key, value string) error {
	key = strings.ToLower(key)
	if target := c.text(key); target != nil {
		*target = value
		return nil
	}
	if known, err := c.Transport.set(key, value); known {
		return err
	}
	if known, err := c.Sampling.set(key, value); known {
		return err
	}
	switch key {
	case "host":
		return c.addHost(value)
	case "port":
		return c.addPort(value)
	case "allow", "deny", "cidr_allow", "cidr_deny":
		return c.Access.add(key, value)
	case "timeout":
		return setSeconds(&c.Timeout, value)
	case "global_timeout":
		return setSeconds(&c.GlobalTimeout, value)
	case "max_servers":
		return c.setSessions(value)
	case "ignore_file":
		return c.addIgnore(value)
	case "paranoia":
		return setBool(&c.Paranoia, value)
	case "native":
		return c.setNative(value)
	}
	return c.ignore(at, key)
}

// text finds the setting behind a key whose value is taken as it is.
func (c *Config) text(key string) *string {
	switch key {
	case "host_name", "hostname":
		return &c.Name
	case "user":
		return &c.User
	case "group":
		return &c.Group
	case "default_plugin_user", "default_client_user":
		return &c.PluginUser
	case "default_plugin_group", "default_client_group":
		return &c.PluginGroup
	case "servicedir":
		return &c.ServiceDir
	case "sconfdir":
		return &c.SconfDir
	case "libdir":
		return &c.LibDir
	case "statedir":
		return &c.StateDir
	}
	return c.Transport.text(key)
}

func (c *Config) addHost(value string) error {
	if taken, err := c.hostSocket(value); taken {
		return err
	}
	host := strings.Trim(value, "[]")
	if strings.ContainsAny(host, " \t/,") {
		return fmt.Errorf("%q is not an address; repeat the key for several", clip(value))
	}
	if host == "*" {
		host = ""
	}
	c.hosts = append(c.hosts, host)
	return nil
}

func (c *Config) addPort(value string) error {
	if n, err := strconv.ParseUint(value, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is not a port: want 1 to 65535", clip(value))
	}
	c.ports = append(c.ports, value)
	return nil
}

func (c *Config) setSessions(value string) error {
	const most = 100_000
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most {
		return fmt.Errorf("%q: want a number of sessions from 1 to %d", clip(value), most)
	}
	c.MaxSessions = n
	return nil
}

func (c *Config) addIgnore(value string) error {
	re, err := regexp.Compile(value)
	if err != nil {
		return fmt.Errorf("%w; the language is RE2's, which has no look-around", err)
	}
	c.Ignore = append(c.Ignore, re)
	return nil
}

func (c *Config) setNative(value string) error {
	var on bool
	if setBool(&on, value) == nil {
		c.Native = NativeChoice{None: !on}
		return nil
	}
	for _, name := range strings.FieldsFunc(value, func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
		if plain := strings.TrimSuffix(name, "*"); plain != "" && munin.ValidatePluginName(plain) != nil {
			return fmt.Errorf("%q: want yes, no, or names of plugins, which may end with a star", clip(name))
		}
		c.Native.Names = append(c.Native.Names, name)
	}
	c.Native.None = false
	return nil
}

// ignore notes a key that has no effect.
func (c *Config) ignore(at, key string) error {
	switch key {
	case "background", "setsid", "log_level", "log_file", "pid_file", "reverse_lookups", "double_reverse_lookups",
		"chroot", "proto", "ipv", "listen":
		if !slices.Contains(c.Ineffective, key) {
			c.Ineffective = append(c.Ineffective, key)
		}
	default:
		c.Warnings = append(c.Warnings, fmt.Sprintf("%s: unknown key %q", at, clip(key)))
	}
	return nil
}

func setSeconds(d *time.Duration, value string) error {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil || n <= 0 || n > 1e6 || n != n {
		return fmt.Errorf("%q: want a number of seconds", clip(value))
	}
	*d = time.Duration(n * float64(time.Second))
	return nil
}

func setBool(b *bool, value string) error {
	switch strings.ToLower(value) {
	case "yes", "true", "on", "1":
		*b = true
	case "no", "false", "off", "0":
		*b = false
	default:
		return fmt.Errorf("%q: want yes or no", clip(value))
	}
	return nil
}

// stripComment takes what stands after a # off a line, unless it is written \#, and trims it.
func stripComment(line string) string {
	if !strings.Contains(line, "#") {
		return strings.TrimSpace(line)
	}
	var b strings.Builder
	for i := range len(line) {
		if line[i] == '#' {
			if !strings.HasSuffix(line[:i], `\`) {
				break
			}
			text := strings.TrimSuffix(b.String(), `\`)
			b.Reset()
			b.WriteString(text)
		}
		b.WriteByte(line[i])
	}
	return strings.TrimSpace(b.String())
}

// cutBlank splits a trimmed line at its first blank.
func cutBlank(line string) (key, value string, ok bool) {
	i := strings.IndexAny(line, " \t")
	if i < 0 {
		return line, "", false
	}
	return line[:i], strings.TrimSpace(line[i:]), true
}

func isWord(s string) bool {
	for _, c := range []byte(s) {
		if c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return s != ""
}

// clip keeps messages about hostile text short.
func clip(s string) string {
	const longest = 80
	if len(s) > longest {
		return s[:longest] + "…"
	}
	return s
}
