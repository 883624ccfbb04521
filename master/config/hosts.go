package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire"
)

// defaults are what a group says for its hosts. Zero values say nothing.
type defaults struct {
	interval    time.Duration
	silentAfter time.Duration
	timeouts    poll.Timeouts
}

func (d *defaults) fill(from *defaults) {
	d.interval = cmp.Or(d.interval, from.interval)
	d.silentAfter = cmp.Or(d.silentAfter, from.silentAfter)
	d.timeouts = poll.Timeouts{
		Dial: cmp.Or(d.timeouts.Dial, from.timeouts.Dial), Idle: cmp.Or(d.timeouts.Idle, from.timeouts.Idle),
		Plugin: cmp.Or(d.timeouts.Plugin, from.timeouts.Plugin), Host: cmp.Or(d.timeouts.Host, from.timeouts.Host),
	}
}

// keys are what a group and a host can both say.
func (d *defaults) keys(r *reader, where string) map[string]func(*node) {
	return map[string]func(*node){
		"interval":     func(n *node) { d.interval = r.duration(n, minInterval, maxInterval) },
		"silent_after": func(n *node) { d.silentAfter = r.duration(n, minInterval, munin.MaxRange) },
		"timeouts":     func(n *node) { r.timeouts(n, where+".timeouts", &d.timeouts) },
	}
}

// rawHost is a host as written.
type rawHost struct {
	defaults

	name, group string
	address     string
	nodeName    string
	useNodeName string // yes, no or empty
	useDefault  bool
	line        int
}

// hosts reads the sections groups and hosts and completes c.Hosts.
func (r *reader) hosts(c *Config, groups, hosts *node) {
	global := defaults{interval: c.Interval, silentAfter: c.SilentAfter, timeouts: c.Timeouts}
	perGroup := make(map[string]*defaults)
	lines := make(map[string]int)
	if groups != nil {
		for _, e := range r.entries(groups, "groups") {
			path, d := r.groupPath(e.key.Line, e.key.Value), &defaults{}
			r.mapping(e.value, "groups."+e.key.Value, d.keys(r, "groups."+e.key.Value))
			perGroup[path], lines[path] = d, e.key.Line
		}
	}
	seen := make(map[munin.HostID]int)
	used := make(map[string]bool)
	if hosts != nil {
		for _, e := range r.entries(hosts, "hosts") {
			raw, ok := r.host(e)
			if !ok {
				continue
			}
			host := raw.host(perGroup, &global, used)
			if before, twice := seen[host.ID]; twice {
				r.problem(raw.line, "the host %s is there twice, first in line %d", host.ID, before)
				continue
			}
			seen[host.ID] = raw.line
			if host.SilentAfter < host.Interval*3/2 {
				r.warn(raw.line, "silent_after of %s is %s, but it is polled every %s: one late answer will be a problem",
					host.ID, munin.FormatDuration(host.SilentAfter), munin.FormatDuration(host.Interval))
			}
			c.Hosts = append(c.Hosts, host)
		}
	}
	for path, line := range lines {
		if path != "" && !used[path] {
			r.warn(line, "no host is in the group %q", path)
		}
	}
	slices.Sort(r.warnings)
	slices.SortFunc(c.Hosts, func(a, b Host) int { return cmp.Compare(a.ID, b.ID) })
	r.sharedAddresses(c.Hosts)
}

// sharedAddresses makes sure that a node that speaks for several hosts is asked for each by name only.
func (r *reader) sharedAddresses(hosts []Host) {
	count := make(map[string]int)
	for i := range hosts {
		count[hosts[i].Address]++
	}
	type asked struct{ address, name string }
	seen := make(map[asked]*Host)
	for i := range hosts {
		h := &hosts[i]
		if count[h.Address] == 1 {
			continue
		}
		if h.Naming == poll.NameAuto {
			h.Naming = poll.NameHost
		}
		key := asked{h.Address, strings.ToLower(cmp.Or(h.NodeName, h.ID.Name()))}
		switch h.Naming {
		case poll.NameBanner, poll.NameNone:
			key.name = ""
		case poll.NameAuto, poll.NameHost:
		}
		if before, same := seen[key]; same {
			r.warn(max(h.Line, before.Line), "%s and %s have the same address and ask for the same node: they will show the same values; set node_name", before.ID, h.ID)
		}
		seen[key] = h
	}
}

// host completes a raw host with what its groups and the top level say.
func (h *rawHost) host(perGroup map[string]*defaults, global *defaults, used map[string]bool) Host {
	for path := h.group; path != ""; {
		if d, ok := perGroup[path]; ok {
			h.fill(d)
			used[path] = true
		}
		i := strings.LastIndexByte(path, ';')
		path = path[:max(i, 0)]
	}
	h.fill(global)
	host := Host{
		ID: munin.NewHostID(h.group, h.name), Address: h.address, Interval: h.interval,
		SilentAfter: cmp.Or(h.silentAfter, silentIntervals*h.interval), Timeouts: h.timeouts, NodeName: h.nodeName, Line: h.line,
	}
	switch {
	case h.useDefault:
		host.Naming = poll.NameNone
	case h.useNodeName == "yes":
		host.Naming = poll.NameBanner
	case h.useNodeName == "no" || h.nodeName != "":
		host.Naming = poll.NameHost
	}
	return host
}

// host reads one entry of hosts: "name: address" or "name: {address: …, …}".
func (r *reader) host(e entry) (rawHost, bool) {
	before := len(r.problems)
	id := munin.HostID(strings.TrimSpace(e.key.Value))
	h := rawHost{name: id.Name(), group: id.Group(), line: e.key.Line}
	where := "hosts." + e.key.Value
	if err := checkHostName(h.name); err != nil {
		r.problem(e.key.Line, "hosts: %v", err)
	}
	if h.group != "" {
		h.group = r.groupPath(e.key.Line, h.group)
	}
	addressLine := e.key.Line
	switch {
	case isNull(e.value):
	case e.value.Kind == yaml.ScalarNode:
		h.address, addressLine = r.text(e.value), e.value.Line
	default:
		keys := h.keys(r, where)
		keys["address"] = func(n *node) { h.address, addressLine = r.text(n), n.Line }
		keys["node_name"] = func(n *node) { h.nodeName = r.nodeName(n) }
		keys["use_default_node"] = func(n *node) { h.useDefault = r.yes(n) }
		keys["use_node_name"] = func(n *node) {
			if h.useNodeName = "no"; r.yes(n) {
				h.useNodeName = "yes"
			}
		}
		keys["group"] = func(n *node) {
			if h.group != "" {
				r.problem(n.Line, "the group is in the host's name already: %q", id)
				return
			}
			h.group = r.groupPath(n.Line, r.text(n))
		}
		r.mapping(e.value, where, keys)
	}
	r.oneNaming(&h)
	h.address = cmp.Or(h.address, h.name)
	address, err := parseAddress(h.address)
	if err != nil {
		r.problem(addressLine, "%s: %v", where, err)
	}
	h.address = address
	return h, len(r.problems) == before
}

func (r *reader) oneNaming(h *rawHost) {
	said := 0
	for _, one := range []bool{h.useDefault, h.useNodeName == "yes", h.nodeName != ""} {
		if one {
			said++
		}
	}
	if said > 1 {
		r.problem(h.line, "hosts.%s: only one of node_name, use_node_name and use_default_node can be set", h.name)
	}
}

func (r *reader) nodeName(n *node) string {
	value := r.text(n)
	if value != "" && !isHostName(value) {
		r.problem(n.Line, "node_name: %q: only letters, digits, dots and dashes are allowed", short(value))
		return ""
	}
	return value
}

// groupPath checks "web" or "web;eu".
func (r *reader) groupPath(line int, path string) string {
	path = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(path), ";"))
	parts := strings.Split(path, ";")
	for i, part := range parts {
		parts[i] = strings.TrimSpace(part)
		if err := checkName(parts[i], " "); err != nil {
			r.problem(line, "the group %q: %v; nested groups are separated by semicolons, as in \"web;eu\"", short(path), err)
			return ""
		}
	}
	return strings.Join(parts, ";")
}

func checkHostName(name string) error {
	if err := checkName(name, ""); err != nil {
		return fmt.Errorf("the host %q: %w", short(name), err)
	}
	return nil
}

// checkName checks one part of a host's path: letters, digits, dots, dashes and underscores, and what extra holds.
func checkName(name, extra string) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case len(name) > munin.MaxNameBytes:
		return fmt.Errorf("a name is longer than %d bytes", munin.MaxNameBytes)
	case name[0] == '.' || name[0] == '-':
		return errors.New("a name cannot begin with a dot or a dash")
	}
	for _, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && !strings.ContainsRune("._-"+extra, c) {
			return fmt.Errorf("%q is not allowed in a name", c)
		}
	}
	return nil
}

// isHostName says whether a text can be a name in DNS, roughly.
func isHostName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return name != "" && len(name) <= 253 && name[0] != '.' && name[0] != '-'
}

func isPort(text string, zero bool) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n <= 65535 && (n > 0 || zero && n == 0)
}

// parseAddress reads "host", "host:port", "10.0.0.1:4949", "[::1]:4949", "[::1]" and "::1" and returns host:port.
func parseAddress(text string) (string, error) {
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if scheme != "munin" {
			return "", fmt.Errorf("the address %q: %s:// is not supported; a node is reached by TCP as host:port", short(text), short(scheme))
		}
		text = strings.TrimSuffix(rest, "/")
	}
	host, port := text, wire.DefaultPort
	switch {
	case parseIP(text) != nil:
	case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
		host = text[1 : len(text)-1]
	case strings.Contains(text, ":"):
		var err error
		if host, port, err = net.SplitHostPort(text); err != nil {
			return "", fmt.Errorf("the address %q: want host, host:port, or [IPv6]:port", short(text))
		}
	}
	if !isPort(port, false) {
		return "", fmt.Errorf("the address %q: the port must be a number from 1 to 65535", short(text))
	}
	ip := parseIP(host)
	if ip == nil && (strings.Contains(host, ":") || !isHostName(strings.ReplaceAll(host, "_", "-"))) {
		return "", fmt.Errorf("the address %q: %q is neither a host name nor an IP address", short(text), short(host))
	}
	if ip == nil && isDottedNumbers(host) {
		return "", fmt.Errorf("the address %q is no IP address: it has four numbers from 0 to 255", short(text))
	}
	return net.JoinHostPort(host, port), nil
}

// parseIP reads an IP address, with a zone or without.
func parseIP(text string) net.IP {
	address, zone, zoned := strings.Cut(text, "%")
	if zoned && (!isHostName(zone) || !strings.Contains(address, ":")) {
		return nil
	}
	return net.ParseIP(address)
}

func isDottedNumbers(host string) bool {
	return strings.Trim(host, "0123456789.") == ""
}
