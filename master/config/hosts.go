package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"corbie/master/poll"
	"corbie/master/transport"
	"corbie/munin"
	"corbie/munin/wire"
)

// rawHost is a host as written.
type rawHost struct {
	defaults

	name, group string
	address     string
	nodeName    string
	useNodeName string // yes, no or empty
	useDefault  bool
	roles       []string
	base        *defaults // before those of the top level; may be nil
}

// host completes a raw host with what its roles, its groups and the top level say.
func (h *rawHost) host(inv *inventory) Host {
	h.ownWords()
	for _, role := range h.roles {
		d, ok := inv.roles[role]
		if !ok {
			inv.problemAt(h.at, "hosts.%s: there is no role %q; describe it under roles", h.name, role)
			continue
		}
		inv.used["@"+role] = true
		h.fill(d)
	}
	for path := h.group; path != ""; {
		if d, ok := inv.groups[path]; ok {
			h.fill(d)
			inv.used[path] = true
		}
		i := strings.LastIndexByte(path, ';')
		path = path[:max(i, 0)]
	}
	if h.base != nil {
		h.fill(h.base)
	}
	h.fill(&inv.global)
	if h.schedule != nil {
		h.interval = shortest(h.schedule)
	}
	host := Host{
		ID: munin.NewHostID(h.group, h.name), Address: h.address, Interval: h.interval, Schedule: h.schedule,
		SilentAfter: cmp.Or(h.silentAfter, silentIntervals*h.interval), Timeouts: h.timeouts, NodeName: h.nodeName,
		Tags: settle(h.tags), Plugins: h.plugins, Facts: h.facts, At: h.at, Said: h.said,
		munin: h.base != nil,
	}
	if n := len(h.facts); n > maxFacts {
		inv.problemAt(h.at, "hosts.%s: it has %d facts with those of its roles and groups, want at most %d", h.name, n, maxFacts)
	}
	host.TLS = inv.encrypt(h)
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

// ownWords notes what the host says itself.
func (h *rawHost) ownWords() {
	said := h.defaults
	h.defaults = defaults{at: said.at}
	said.where = said.at.String()
	h.fill(&said)
}

// host reads one entry of hosts: "name: address" or "name: {address: …, …}".
func (r *reader) host(e entry) (rawHost, bool) {
	before := len(r.problems)
	id := munin.HostID(strings.TrimSpace(e.key.Value))
	h := rawHost{name: id.Name(), group: id.Group(), defaults: defaults{at: r.at(e.key.Line)}}
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
		keys["roles"] = func(n *node) { h.roles = append(h.roles, r.tags(n)...) }
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
		r.problem(h.at.Line, "hosts.%s: only one of node_name, use_node_name and use_default_node can be set", h.name)
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

// CheckHost says what is wrong with the path of a host.
func CheckHost(id munin.HostID) error {
	if group := id.Group(); group != "" {
		for part := range strings.SplitSeq(group, ";") {
			if err := checkName(part, " "); err != nil {
				return fmt.Errorf("the group %q: %w", short(group), err)
			}
		}
	}
	return checkHostName(id.Name())
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

// parseAddress reads "host", "host:port", "10.0.0.1:4949", "[::1]:4949", "[::1]" and "::1" and returns host:port, and the
// addresses of package transport, which it returns as they are.
func parseAddress(text string) (string, error) {
	if scheme, rest, ok := strings.Cut(text, "://"); ok {
		if scheme != "munin" {
			if _, err := transport.Parse(text); err != nil {
				return "", fmt.Errorf("the address %q: %w", short(text), err)
			}
			return text, nil
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
