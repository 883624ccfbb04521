// Package config reads corbie.yml, the master's configuration: strictly, with every error at once, each with its
// line and what to do about it. What it returns is valid as a whole; nobody has to check it again.
//
// testdata/corbie.yml documents every key.
package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/master/jobs"
	"corbie/master/poll"
	"corbie/munin"
)

// Config is a valid configuration.
type Config struct {
	Name        string        // the file, as named in messages
	Listen      string        // host:port of the pages
	Anonymous   bool          // pages may be served beyond loopback without sign-in
	URL         string        // address of the pages as people reach them, without a slash at its end; may be empty
	Data        string        // data folder; empty where the file does not say
	Interval    time.Duration // between two polls, where nothing else is said
	SilentAfter time.Duration // 0: three intervals of the host
	Retention   Retention
	Concurrency int // polls at once
	Timeouts    poll.Timeouts
	Forecast    Forecast
	Hosts       []Host // ordered by ID
	Levels      []Level
	Receivers   []Receiver
	Notify      Notify
	// Warnings are things that are legal but probably not meant, as "FILE:LINE: text".
	Warnings []string
}

// Forecast says when the capacity forecast is computed.
type Forecast struct {
	Schedule jobs.Schedule
}

// Host is a host to be polled, with what its groups say already applied.
type Host struct {
	ID          munin.HostID
	Address     string // host:port
	Interval    time.Duration
	SilentAfter time.Duration
	Timeouts    poll.Timeouts
	Naming      poll.Naming
	NodeName    string
	Line        int // in the file
}

// Problem is one thing that is wrong with the file.
type Problem struct {
	Line int // 0: the file as a whole
	Text string
}

// Error is everything that is wrong with a file.
type Error struct {
	Name     string
	Problems []Problem // by line
}

// Error is one line for each problem: "corbie.yml:14: …".
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = place(e.Name, p.Line) + ": " + p.Text
	}
	return strings.Join(lines, "\n")
}

func place(name string, line int) string {
	if line == 0 {
		return name
	}
	return name + ":" + strconv.Itoa(line)
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

// Load reads a file and the password files that it names, which are taken relative to its folder. An error of
// type *Error says all that is wrong.
func Load(path string, flags Flags) (*Config, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return parse(path, text, flags, func(name string) (string, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return readSecret(name)
	})
}

// Parse reads a configuration from its text; name is used in messages. Files that it names are not read. An empty
// text is the configuration without a host.
func Parse(name string, text []byte, flags Flags) (*Config, error) {
	return parse(name, text, flags, nil)
}

func readSecret(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	switch {
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("%s is longer than %d bytes", name, maxSecretFile)
	case secret == "":
		return "", fmt.Errorf("%s is empty", name)
	case strings.ContainsAny(secret, "\r\n"):
		return "", fmt.Errorf("%s has more than one line", name)
	}
	return secret, nil
}

func parse(name string, text []byte, flags Flags, secrets func(string) (string, error)) (*Config, error) {
	r := &reader{name: name, flags: flags, secretFile: secrets}
	conf := r.read(text)
	if len(r.problems) == 0 {
		return conf, nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return a.Line - b.Line })
	if len(r.problems) > maxProblems {
		more := len(r.problems) - maxProblems
		r.problems = append(r.problems[:maxProblems], Problem{Text: fmt.Sprintf("and %d problems more", more)})
	}
	return nil, &Error{Name: name, Problems: r.problems}
}

// read takes the whole text. The result counts only when no problem was found.
func (r *reader) read(text []byte) *Config {
	schedule, err := jobs.ParseSchedule(defaultSchedule)
	if err != nil {
		r.problem(0, "%v", err)
	}
	c := &Config{
		Name: r.name, Listen: defaultListen, Interval: defaultInterval,
		Concurrency: defaultConcurrency, Forecast: Forecast{Schedule: schedule}, Notify: defaultNotify(),
	}
	keep := retention{Retention: Retention{Raw: defaultRaw, Hour: defaultHour}}
	var groups, hosts, levels *node
	listenLine := 0
	keys := map[string]func(*node){
		"listen":         func(n *node) { listenLine = n.Line; c.Listen = r.listen(n, c.Listen) },
		"sign_in":        func(n *node) { c.Anonymous = r.word(n, "none") == "none" },
		"url":            func(n *node) { c.URL = r.url(n) },
		"data":           func(n *node) { c.Data = r.text(n) },
		"interval":       func(n *node) { c.Interval = r.duration(n, minInterval, maxInterval) },
		"silent_after":   func(n *node) { c.SilentAfter = r.duration(n, minInterval, munin.MaxRange) },
		"retention":      func(n *node) { keep.Raw = r.keep(n) },
		"retention_hour": func(n *node) { keep.hour, keep.Hour = n, r.keep(n) },
		"retention_day":  func(n *node) { keep.day, keep.Day = n, r.keep(n) },
		"retention_size": func(n *node) { keep.Bytes = r.bytes(n, minBytes) },
		"concurrency":    func(n *node) { c.Concurrency = r.count(n, 1, 10_000) },
		"timeouts":       func(n *node) { r.timeouts(n, "timeouts", &c.Timeouts) },
		"forecast":       func(n *node) { r.forecast(n, &c.Forecast) },
		"groups":         func(n *node) { groups = n },
		"hosts":          func(n *node) { hosts = n },
		"levels":         func(n *node) { levels = n },
		"receivers":      func(n *node) { c.Receivers = r.receivers(n) },
		"notify":         func(n *node) { r.notify(n, &c.Notify) },
	}
	if root, ok := r.document(text); ok {
		r.mapping(root, "", keys)
	}
	r.flags.apply(c)
	if err := c.CheckListen(c.Listen); err != nil {
		r.problem(listenLine, "%v", err)
	}
	c.Retention = keep.settle(r)
	c.Timeouts = c.Timeouts.WithDefaults()
	r.hosts(c, groups, hosts)
	c.Levels = r.levels(levels, c.Hosts)
	c.Warnings = r.warnings
	return c
}

// CheckListen says why the pages must not be served on an address: beyond loopback they need sign-in, or the
// explicit "sign_in: none".
func (c *Config) CheckListen(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("listen: %q is no address; write host:port", address)
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() || c.Anonymous {
		return nil
	}
	return fmt.Errorf("listen: on %s everybody who reaches this machine can read all pages; "+
		"listen on 127.0.0.1 behind a web server that asks for a password, or write \"sign_in: none\" if that is meant", address)
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

// Targets are the hosts as the poller knows them, with the levels of this configuration.
func (c *Config) Targets() []poll.Target {
	targets := make([]poll.Target, len(c.Hosts))
	for i := range c.Hosts {
		targets[i] = c.target(&c.Hosts[i])
	}
	return targets
}

func (c *Config) target(h *Host) poll.Target {
	id := h.ID
	return poll.Target{
		Host: id, Address: h.Address, Interval: h.Interval, Timeouts: h.Timeouts, Naming: h.Naming, NodeName: h.NodeName,
		Override: func(g *munin.Graph) { c.Override(id, g) },
	}
}

// Target finds the target for a host by its full path or by a name that only one host has, or else makes one from
// an address that is not configured. It is for commands that ask one node.
func (c *Config) Target(name string) (poll.Target, error) {
	var found []*Host
	for i := range c.Hosts {
		h := &c.Hosts[i]
		if string(h.ID) == name {
			return c.target(h), nil
		}
		if h.ID.Name() == name {
			found = append(found, h)
		}
	}
	switch len(found) {
	case 1:
		return c.target(found[0]), nil
	case 0:
		address, err := parseAddress(name)
		if err != nil {
			return poll.Target{}, fmt.Errorf("%s is no configured host, and %w", name, err)
		}
		host, _, _ := net.SplitHostPort(address)
		return poll.Target{
			Host: munin.HostID(host), Address: address, Interval: c.Interval, Timeouts: c.Timeouts, Naming: poll.NameBanner,
			Override: func(g *munin.Graph) { c.Override(munin.HostID(host), g) },
		}, nil
	}
	return poll.Target{}, fmt.Errorf("host %s: %w: %s and %s have this name; write the group in front", name, munin.ErrAmbiguous, found[0].ID, found[1].ID)
}

// Problems are all problems of an error that Load or Parse returned, one line each.
func Problems(err error) []string {
	var all *Error
	if errors.As(err, &all) {
		return strings.Split(all.Error(), "\n")
	}
	return []string{err.Error()}
}
