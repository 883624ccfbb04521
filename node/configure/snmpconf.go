package configure

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
)

// SNMPNeeds is what a plugin needs of an SNMP agent to be of use for it.
type SNMPNeeds struct {
	Values  []SNMPNeed // must exist, and match
	Columns []SNMPNeed // of a table; a row counts when it has all of them, and they match
	// Index is the column whose values become endings of names, for a plugin that is linked once for each row;
	// empty for others. It is among the columns too.
	Index string
}

// SNMPNeed is an object identifier without a dot at its end, and what its value must match. A nil pattern lets
// any value pass.
type SNMPNeed struct {
	OID     string
	Pattern *regexp.Regexp
}

var (
	oidPattern  = regexp.MustCompile(`^\.?[0-9]+(\.[0-9]+)*\.?$`)
	confPattern = regexp.MustCompile(`^\s*(\w+)\s+(\S+)(?:\s+(\S.*?))?\s*$`)
)

// TakeSNMPConf notes an answer to snmpconf. Its lines are "require OID", "require OID PATTERN", the same with a
// dot at the end of the OID for a column of a table, and "index OID." for the column with the rows' names.
func (p *Plugin) TakeSNMPConf(lines []string) {
	for _, line := range lines {
		found := confPattern.FindStringSubmatch(line)
		if found == nil {
			continue // Blank lines and words alone mean nothing.
		}
		if err := p.need(found[1], found[2], found[3]); err != nil {
			p.fault("snmpconf: %q: %v", clip(line), err)
		}
	}
	if p.Wildcard() && p.Needs.Index == "" {
		p.fault("snmpconf: a plugin whose name ends with an underscore needs an index")
	}
}

func (p *Plugin) need(key, oid, pattern string) error {
	const most = 100
	column := strings.HasSuffix(oid, ".")
	need := SNMPNeed{OID: strings.Trim(oid, ".")}
	switch {
	case key != "require" && key != "index":
		return fmt.Errorf("unknown word %q; want require or index", clip(key))
	case len(oid) > most || !oidPattern.MatchString(oid):
		return fmt.Errorf("%q is not an object identifier", clip(oid))
	case len(p.Needs.Values)+len(p.Needs.Columns) >= most:
		return fmt.Errorf("more than %d lines", most)
	}
	if key == "index" {
		switch {
		case p.Needs.Index != "":
			return fmt.Errorf("there is an index already: %s", p.Needs.Index)
		case !column:
			return fmt.Errorf("an index is a column of a table: it ends with a dot")
		case !p.Wildcard():
			return fmt.Errorf("an index is for plugins whose name ends with an underscore; write require instead")
		}
		p.Needs.Index = need.OID
		p.Needs.Columns = append(p.Needs.Columns, need)
		return nil
	}
	if pattern != "" {
		var err error
		if need.Pattern, err = regexp.Compile(pattern); err != nil {
			return fmt.Errorf("the pattern: %w", err)
		}
	}
	if column {
		p.Needs.Columns = append(p.Needs.Columns, need)
	} else {
		p.Needs.Values = append(p.Needs.Values, need)
	}
	return nil
}

// Agent is a consumer contract for an SNMP agent. It models a session with one host; object identifiers have no
// dot at either end.
type Agent interface {
	// Value asks for one value; false when the agent has none by that identifier.
	Value(ctx context.Context, oid string) (value string, ok bool, err error)
	// Column asks for all values below an identifier, by what follows it.
	Column(ctx context.Context, oid string) (map[string]string, error)
	Close() error
}

// Dial opens a session with the SNMP agent of a host.
type Dial func(ctx context.Context, host string) (Agent, error)

// ProbeHosts asks the agents of all hosts for what the plugins need, several hosts at the same time, and notes
// in the plugins what is suggested for whom. A host that does not answer is left after the first question; the
// first result says for each such host why. The error is the end of ctx.
func ProbeHosts(ctx context.Context, plugins []*Plugin, hosts []string, dial Dial) (silent []error, err error) {
	const parallel = 16
	endings, failures := make([][][]string, len(hosts)), make([]error, len(hosts))
	var group errgroup.Group
	group.SetLimit(parallel)
	for i, host := range hosts {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			endings[i], failures[i] = probeHost(ctx, plugins, host, dial)
			return nil
		})
	}
	if err := errors.Join(group.Wait(), ctx.Err()); err != nil {
		return nil, err
	}
	for i, host := range hosts {
		if failures[i] != nil {
			silent = append(silent, fmt.Errorf("%s: %w", host, failures[i]))
			continue
		}
		for j, p := range plugins {
			if p.Needs.any() && len(p.Faults) == 0 {
				p.Answered, p.Hosts = true, append(p.Hosts, host)
			}
			p.want(endings[i][j])
		}
	}
	return silent, nil
}

// probeHost is what one host is suggested for, by the plugins' places.
func probeHost(ctx context.Context, plugins []*Plugin, host string, dial Dial) ([][]string, error) {
	agent, err := dial(ctx, host)
	if err != nil {
		return nil, err
	}
	defer agent.Close()
	endings := make([][]string, len(plugins))
	for i, p := range plugins {
		if !p.Needs.any() || len(p.Faults) > 0 {
			continue
		}
		if endings[i], err = p.Needs.probe(ctx, host, agent); err != nil {
			return nil, err
		}
	}
	return endings, nil
}

// any says that the plugin knows what it needs.
func (n SNMPNeeds) any() bool { return len(n.Values)+len(n.Columns) > 0 }

// probe asks an agent for what is needed and returns the endings of names that follow for its host.
func (n SNMPNeeds) probe(ctx context.Context, host string, agent Agent) ([]string, error) {
	for _, need := range n.Values {
		value, ok, err := agent.Value(ctx, need.OID)
		if err != nil || !ok || !need.accepts(value) {
			return nil, err
		}
	}
	if len(n.Columns) == 0 {
		return []string{host}, nil
	}
	columns := make(map[string]map[string]string, len(n.Columns))
	for _, need := range n.Columns {
		if columns[need.OID] != nil {
			continue
		}
		column, err := agent.Column(ctx, need.OID)
		if err != nil || len(column) == 0 {
			return nil, err
		}
		columns[need.OID] = column
	}
	rows := n.rows(columns)
	if n.Index == "" {
		return slices.Repeat([]string{host}, min(1, len(rows))), nil
	}
	endings := make([]string, 0, len(rows))
	for _, row := range rows {
		endings = append(endings, host+"/"+columns[n.Index][row])
	}
	return endings, nil
}

// rows are the rows that have all the columns needed, with values that fit.
func (n SNMPNeeds) rows(columns map[string]map[string]string) []string {
	var rows []string
	for row := range columns[n.Columns[0].OID] {
		fits := !slices.ContainsFunc(n.Columns, func(need SNMPNeed) bool {
			value, ok := columns[need.OID][row]
			return !ok || !need.accepts(value)
		})
		if fits {
			rows = append(rows, row)
		}
	}
	slices.Sort(rows)
	return rows
}

func (n SNMPNeed) accepts(value string) bool { return n.Pattern == nil || n.Pattern.MatchString(value) }

// want notes suggestions, as far as names can be made of them.
func (p *Plugin) want(endings []string) {
	for _, ending := range endings {
		host, index, indexed := strings.Cut(ending, "/")
		switch {
		case !suggestionPattern.MatchString(host) || indexed && !suggestionPattern.MatchString(index):
			p.fault("no name of a link can be made of %q", clip(ending))
		case len(p.Wanted) >= maxSuggestions:
			p.fault("more than %d suggestions", maxSuggestions)
			return
		default:
			p.Useful = true
			p.Wanted = append(p.Wanted, ending)
		}
	}
}

// ExpandHosts spells out hosts that are given as on the command line: names, addresses, and IPv4 addresses with
// the length of a mask, which stand for all addresses of their network.
func ExpandHosts(items []string) ([]string, error) {
	const shortest = 16 // 65,536 hosts
	var hosts []string
	for _, item := range items {
		host, mask, masked := strings.Cut(item, "/")
		if host == "" {
			return nil, fmt.Errorf("%q names no host", clip(item))
		}
		if !masked {
			hosts = append(hosts, host)
			continue
		}
		bits, err := strconv.Atoi(mask)
		if err != nil || bits < shortest || bits > 32 {
			return nil, fmt.Errorf("%q: the length of the mask must be %d to 32", clip(item), shortest)
		}
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is4() {
			return nil, fmt.Errorf("%q: a mask needs an IPv4 address before it", clip(item))
		}
		network := netip.PrefixFrom(addr, bits).Masked()
		for a := network.Addr(); network.Contains(a); a = a.Next() {
			hosts = append(hosts, a.String())
		}
	}
	return hosts, nil
}
