// Package config reads corbie.yml, the master's configuration: strictly, with every error at once, each with its
// line and what to do about it. What it returns is valid as a whole; nobody has to check it again.
//
// testdata/corbie.yml documents every key.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"corbie/master/config/muninconf"
	"corbie/master/jobs"
	"corbie/master/poll"
	"corbie/master/virtual"
	"corbie/munin"
	"corbie/munin/wire"
)

// Config is a valid configuration.
type Config struct {
	Name        string        // the file, as named in messages
	Listen      string        // host:port of the pages
	ListenTLS   ListenTLS     // how the pages are encrypted
	Anonymous   bool          // pages may be served beyond loopback without sign-in
	Access      Access        // who is let in to the pages
	URL         string        // address of the pages as people reach them, without a slash at its end; may be empty
	Data        string        // data folder; empty where the file does not say
	Interval    time.Duration // between two polls, where nothing else is said
	SilentAfter time.Duration // 0: three intervals of the host
	Retention   Retention
	Concurrency int // polls at once
	Timeouts    poll.Timeouts
	TLS         *wire.TLS // how sessions are encrypted where nothing else is said; nil: not at all
	Forecast    Forecast
	Hosts       []Host     // ordered by ID
	Graphs      []Override // of attributes of graphs
	Levels      []Override // of attributes of fields, thresholds above all
	Receivers   []Receiver
	Query       Query
	Rules       []string // files of rules in PromQL
	Remote      *Remote  // nil: samples stay here
	Elsewhere   bool     // samples are kept by the remote engine alone; else it gets a copy
	Notify      Notify
	// Warnings are things that are legal but probably not meant, as "FILE:LINE: text".
	Warnings []string
	// Rejected are lines of a munin.conf that were left out because they are wrong, in the same form; see Flags.Tolerant.
	Rejected []string

	flags   Flags
	tags    map[munin.HostID][]string
	kept    map[string]Keep // by group, where it says something
	munin   *muninConf      // nil: there is no munin.conf
	watched []string        // patterns of the files of targets
	seen    string
}

// Forecast says when the capacity forecast is computed.
type Forecast struct {
	Schedule jobs.Schedule
}

// Place is a line of a file.
type Place = muninconf.Place

// Host is a host to be polled, with what its roles and groups say already applied.
type Host struct {
	ID          munin.HostID
	Address     string         // host:port; empty: a virtual host, which is not polled
	Interval    time.Duration  // with a Schedule, the shortest time between two polls
	Schedule    *jobs.Schedule // nil: every Interval
	SilentAfter time.Duration
	Timeouts    poll.Timeouts
	Naming      poll.Naming
	NodeName    string
	TLS         *wire.TLS         // how its sessions are encrypted; nil: not at all
	Tags        []string          // sorted; roles are among them
	Plugins     []PluginRule      // the first that matches counts
	Facts       map[string]string // for people: serial, vendor, rack, owner, …; not to be changed
	At          Place             // where it is configured
	Said        []Said            // what the settings come from, for people
	munin       bool              // of a munin.conf
}

// PluginRule says how often the plugins are asked whose names match a pattern.
type PluginRule struct {
	Pattern string
	Every   time.Duration // below zero: never
	At      Place
}

// Said is one setting of a host and where it comes from.
type Said struct{ Key, Value, Where string }

// Problem is one thing that is wrong with a file.
type Problem struct {
	At   Place
	Text string
}

// Error is everything that is wrong with the configuration.
type Error struct {
	Problems []Problem // by file and line
}

// Error is one line for each problem: "corbie.yml:14: …".
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// String is "corbie.yml:14: …".
func (p Problem) String() string {
	if p.At.File == "" {
		return p.Text
	}
	return p.At.String() + ": " + p.Text
}

// Limits and defaults.
const (
	maxFileBytes  = 8 << 20
	maxProblems   = 200
	maxSecretFile = 4 << 10
	minInterval   = time.Second
	maxInterval   = 24 * time.Hour

	defaultListen      = "127.0.0.1:8080"
	defaultInterval    = 5 * time.Minute
	defaultConcurrency = 256
	defaultSchedule    = "15 4 * * *"
	silentIntervals    = 3
)

// Flags are settings of the command line that win over those of the file.
type Flags struct {
	Listen   string        // empty: what the file says
	Interval time.Duration // 0: what the file says; groups and hosts with an interval of their own keep it
	// MuninConf is a munin.conf to be read besides; it wins over munin_conf of the file.
	MuninConf string
	// Tolerant leaves lines of a munin.conf out that are wrong, instead of failing: Config.Rejected names them.
	Tolerant bool
}

func (f Flags) apply(c *Config) {
	if f.Listen != "" {
		c.Listen = f.Listen
	}
	if f.Interval != 0 {
		c.Interval = f.Interval
	}
}

// Check says what is wrong with the flags.
func (f Flags) Check() error {
	if f.Interval != 0 && (f.Interval < minInterval || f.Interval > maxInterval) {
		return fmt.Errorf("interval %v: want %v to %v", f.Interval, minInterval, maxInterval)
	}
	return nil
}

// Load reads a file and all files that it names, which are taken relative to its folder. An error of type *Error says
// all that is wrong.
func Load(path string, flags Flags) (*Config, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(path, text, flags, &folder{dir: filepath.Dir(path)})
}

// LoadMunin is the configuration without a corbie.yml, but with the munin.conf that the flags name.
func LoadMunin(flags Flags) (*Config, error) {
	return parse(flags.MuninConf, nil, flags, &folder{dir: "."})
}

// Parse reads a configuration from its text; name is used in messages. Files that it names are not read. An empty
// text is the configuration without a host.
func Parse(name string, text []byte, flags Flags) (*Config, error) {
	return parse(name, text, flags, nil)
}

func parse(name string, text []byte, flags Flags, from *folder) (*Config, error) {
	r := &reader{name: name, flags: flags, folder: from, findings: &findings{}}
	conf := r.read(text)
	problems := r.problems
	if len(problems) == 0 {
		return conf, nil
	}
	slices.SortStableFunc(problems, func(a, b Problem) int {
		if a.At.File == b.At.File {
			return a.At.Line - b.At.Line
		}
		return cmp.Or(boolOrder(a.At.File == name, b.At.File == name), strings.Compare(a.At.File, b.At.File))
	})
	if more := len(problems) - maxProblems; more > 0 {
		problems = append(problems[:maxProblems], Problem{At: Place{File: name}, Text: fmt.Sprintf("and %d problems more", more)})
	}
	return nil, &Error{Problems: problems}
}

// boolOrder puts what is true first.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// read takes the whole text. The result counts only when no problem was found.
func (r *reader) read(text []byte) *Config {
	schedule, err := jobs.ParseSchedule(defaultSchedule)
	if err != nil {
		r.problem(0, "%v", err)
	}
	c := &Config{
		Name: r.name, flags: r.flags, Listen: defaultListen, Interval: defaultInterval,
		Concurrency: defaultConcurrency, Forecast: Forecast{Schedule: schedule}, Notify: defaultNotify(), Query: defaultQuery(),
	}
	keep := retention{Retention: Retention{Raw: defaultRaw, Hour: defaultHour}}
	parts := &sections{reader: r}
	store := &storageKeys{reader: r}
	listenLine := 0
	keys := map[string]func(*node){
		"listen":     func(n *node) { listenLine = n.Line; c.Listen = r.listen(n, c.Listen) },
		"listen_tls": func(n *node) { r.listenTLS(n, &c.ListenTLS) },
		"access":     func(n *node) { r.access(n, &c.Access) },
		"sign_in":    func(n *node) { c.Anonymous = r.word(n, "none") == "none" },
		"url":        func(n *node) { c.URL = r.url(n) },
		"data":       func(n *node) { c.Data = r.text(n) },
		"interval":   func(n *node) { parts.note(n, "interval"); c.Interval = r.duration(n, minInterval, maxInterval) },
		"silent_after": func(n *node) {
			parts.note(n, "silent_after")
			c.SilentAfter = r.duration(n, minInterval, munin.MaxRange)
		},
		"retention":      func(n *node) { keep.Raw = r.keep(n) },
		"retention_hour": func(n *node) { keep.hour, keep.Hour = n, r.keep(n) },
		"retention_day":  func(n *node) { keep.day, keep.Day = n, r.keep(n) },
		"retention_size": func(n *node) { keep.Bytes = r.bytes(n, minBytes) },
		"concurrency":    func(n *node) { c.Concurrency = r.count(n, 1, 10_000) },
		"timeouts": func(n *node) {
			parts.note(n, "timeouts.dial", "timeouts.idle", "timeouts.plugin", "timeouts.host")
			r.timeouts(n, "timeouts", &c.Timeouts)
		},
		"tls":        func(n *node) { parts.note(n, tlsNotes()...); r.tls(n, "tls", &parts.tls) },
		"query":      func(n *node) { r.query(n, &c.Query) },
		"rules":      func(n *node) { c.Rules = r.rules(n) },
		"forecast":   func(n *node) { r.forecast(n, &c.Forecast) },
		"receivers":  func(n *node) { c.Receivers = r.receivers(n) },
		"notify":     func(n *node) { r.notify(n, &c.Notify) },
		"munin_conf": func(n *node) { parts.muninConf = n },
		"include":    func(n *node) { parts.include = n },
	}
	maps.Copy(keys, parts.keys())
	maps.Copy(keys, store.keys())
	if root, ok := r.document(text); ok {
		r.mapping(root, "", keys)
	}
	r.flags.apply(c)
	if err := c.CheckListen(c.Listen); err != nil {
		r.problem(listenLine, "%v", err)
	}
	r.settleAccess(c)
	c.Retention = keep.settle(r)
	store.settle(c)
	c.Timeouts = c.Timeouts.WithDefaults()
	parts.inventory(c)
	slices.Sort(r.warnings)
	c.Warnings, c.Rejected = r.warnings, r.rejected
	return c
}

// CheckListen says why the pages must not be served on an address: beyond loopback they need sign-in, or the
// explicit "sign_in: none".
func (c *Config) CheckListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen: %q is no address; write host:port", address)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() || c.Anonymous || c.Access.Guarded() || c.Access.anonymous {
		return nil
	}
	return fmt.Errorf("listen: on %s everybody who reaches this machine can read all pages; "+
		"say under access how people sign in (docs/access.md), listen on 127.0.0.1, or write \"sign_in: none\" if that is meant", address)
}

// MuninHosts are the hosts as the catalogue knows them.
func (c *Config) MuninHosts() []munin.Host {
	hosts := make([]munin.Host, len(c.Hosts))
	for i := range c.Hosts {
		h := &c.Hosts[i]
		hosts[i] = munin.Host{ID: h.ID, Address: h.Address, Interval: h.Interval, Silent: h.SilentAfter}
	}
	return hosts
}

// Targets are the hosts that are polled, as the poller knows them, with the levels of this configuration.
func (c *Config) Targets() []poll.Target {
	targets := make([]poll.Target, 0, len(c.Hosts))
	for i := range c.Hosts {
		if c.Hosts[i].Address != "" {
			targets = append(targets, c.target(&c.Hosts[i]))
		}
	}
	return targets
}

func (c *Config) target(h *Host) poll.Target {
	id := h.ID
	var schedule poll.Schedule
	if h.Schedule != nil {
		schedule = h.Schedule
	}
	return poll.Target{
		Schedule: schedule,
		Host:     id, Address: h.Address, Interval: h.Interval, Timeouts: h.Timeouts, Naming: h.Naming, NodeName: h.NodeName,
		TLS: h.TLS,
		Override: func(g *munin.Graph) {
			c.Override(id, g)
			if every := h.every(g.Plugin); every > max(h.Interval, g.UpdateRate) {
				g.UpdateRate = every
			}
		},
		Every: h.every,
	}
}

// every is how often a plugin is asked: 0 at every poll, below zero never.
func (h *Host) every(plugin string) time.Duration {
	for _, rule := range h.Plugins {
		if matches(rule.Pattern, plugin) {
			return rule.Every
		}
	}
	return 0
}

// Plans are the hosts with graphs that no node has.
func (c *Config) Plans() []virtual.Plan {
	var plans []virtual.Plan
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if graphs := c.Virtual(h.ID); len(graphs) > 0 || h.Address == "" {
			plans = append(plans, virtual.Plan{Host: h.ID, Interval: h.Interval, Polled: h.Address != "", Graphs: graphs})
		}
	}
	return plans
}

// Host finds a configured host by its full path or by a name that only one has.
func (c *Config) Host(name string) (*Host, error) {
	var found []*Host
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if string(h.ID) == name {
			return h, nil
		}
		if h.ID.Name() == name {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("host %q: %w in the configuration", name, munin.ErrNotFound)
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("host %s: %w: %s and %s have this name; write the group in front", name, munin.ErrAmbiguous, found[0].ID, found[1].ID)
}

// Target finds the target for a host by its full path or by a name that only one host has, or else makes one from
// an address that is not configured. It is for commands that ask one node.
func (c *Config) Target(name string) (poll.Target, error) {
	h, err := c.Host(name)
	switch {
	case err == nil && h.Address == "":
		return poll.Target{}, fmt.Errorf("host %s is virtual: it shows what other hosts have, and there is nothing to poll", h.ID)
	case err == nil:
		return c.target(h), nil
	case !errors.Is(err, munin.ErrNotFound):
		return poll.Target{}, err
	}
	address, err := parseAddress(name)
	if err != nil {
		return poll.Target{}, fmt.Errorf("%s is no configured host, and %w", name, err)
	}
	host, _, _ := net.SplitHostPort(address)
	return poll.Target{
		Host: munin.HostID(host), Address: address, Interval: c.Interval, Timeouts: c.Timeouts, Naming: poll.NameBanner, TLS: c.TLS,
		Override: func(g *munin.Graph) { c.Override(munin.HostID(host), g) },
	}, nil
}

// AskedAs says in words under which name the node of a host is asked.
func (c *Config) AskedAs(h *Host) string {
	name := cmp.Or(h.NodeName, h.ID.Name())
	switch {
	case h.Address == "":
		return "nobody is asked"
	case h.Naming == poll.NameNone:
		return "no name (use_default_node)"
	case h.Naming == poll.NameBanner:
		return "the name in its greeting (use_node_name)"
	case h.Naming == poll.NameHost:
		return name
	}
	return name + ", or the only name that the node knows"
}

// Problems are all problems of an error that Load or Parse returned, one line each.
func Problems(err error) []string {
	var all *Error
	if errors.As(err, &all) {
		return strings.Split(all.Error(), "\n")
	}
	return []string{err.Error()}
}
