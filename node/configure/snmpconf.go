package configure

import (
	"context"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
}

// Probe asks an agent for what the plugin needs and notes the suggestions that follow for its host. The error
// says that the agent does not answer.
func (p *Plugin) Probe(ctx context.Context, host string, agent Agent) error {
	if len(p.Needs.Values)+len(p.Needs.Columns) == 0 || len(p.Faults) > 0 {
		return nil
	}
	p.Answered = true
	for _, need := range p.Needs.Values {
		value, ok, err := agent.Value(ctx, need.OID)
		if err != nil || !ok || !need.accepts(value) {
			return err
		}
	}
	if len(p.Needs.Columns) == 0 {
		p.wantFor(host)
		return nil
	}
	columns := make(map[string]map[string]string, len(p.Needs.Columns))
	for _, need := range p.Needs.Columns {
		if columns[need.OID] != nil {
			continue
		}
		column, err := agent.Column(ctx, need.OID)
		if err != nil || len(column) == 0 {
			return err
		}
		columns[need.OID] = column
	}
	rows := p.Needs.rows(columns)
	if p.Needs.Index == "" {
		if len(rows) > 0 {
			p.wantFor(host)
		}
		return nil
	}
	for _, row := range rows {
		p.wantFor(host + "/" + columns[p.Needs.Index][row])
	}
	return nil
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

// wantFor notes a suggestion, if a name can be made of it.
func (p *Plugin) wantFor(ending string) {
	host, index, _ := strings.Cut(ending, "/")
	if !suggestionPattern.MatchString(host) || index != "" && !suggestionPattern.MatchString(index) {
		p.fault("no name of a link can be made of %q", clip(ending))
		return
	}
	if len(p.Wanted) >= maxSuggestions {
		p.fault("more than %d suggestions", maxSuggestions)
		return
	}
	p.Useful = true
	p.Wanted = append(p.Wanted, ending)
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
