package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"corbie/master/jobs"
	"corbie/master/poll"
	"corbie/munin"
	"corbie/munin/wire"
)

// sections are what the main file and each included one can say about hosts.
type sections struct {
	reader *reader
	places map[string]string // of single settings of the top level
	tls    encryption        // of the top level

	groups, roles, hosts, fileSD, levels, graphs *node
	muninConf, include                           *node // only in the main file
}

func (s *sections) keys() map[string]func(*node) {
	return map[string]func(*node){
		"groups":  func(n *node) { s.groups = n },
		"roles":   func(n *node) { s.roles = n },
		"hosts":   func(n *node) { s.hosts = n },
		"file_sd": func(n *node) { s.fileSD = n },
		"levels":  func(n *node) { s.levels = n },
		"graphs":  func(n *node) { s.graphs = n },
	}
}

// note remembers where a setting of the top level stands.
func (s *sections) note(n *node, keys ...string) {
	if s.places == nil {
		s.places = make(map[string]string)
	}
	for _, key := range keys {
		s.places[key] = s.reader.at(n.Line).String()
	}
}

// inventory puts groups, hosts and overrides of all files together.
type inventory struct {
	*findings

	conf   *Config
	global defaults
	groups map[string]*defaults
	roles  map[string]*defaults
	used   map[string]bool // groups with hosts, roles that hosts have
	hosts  map[munin.HostID]Place
	tls    map[wire.TLSSettings]*wire.TLS // of the hosts so far

	readsFiles bool
}

// inventory reads all sections, of this file and of those that it names, into the configuration.
func (s *sections) inventory(c *Config) {
	inv := &inventory{
		findings: s.reader.findings, conf: c, groups: make(map[string]*defaults), roles: make(map[string]*defaults),
		used: make(map[string]bool), hosts: make(map[munin.HostID]Place),
		tls: make(map[wire.TLSSettings]*wire.TLS), readsFiles: s.reader.folder != nil,
	}
	inv.global = defaults{where: "the default", places: s.places, interval: c.Interval, silentAfter: c.SilentAfter, timeouts: c.Timeouts, tls: s.tls}
	if s.tls.mode != "" {
		c.TLS = inv.encryption(&s.tls, func(format string, args ...any) { inv.problemAt(s.tls.at, "tls: "+format, args...) },
			func(text string) { inv.warnAt(s.tls.at, "tls: %s", text) })
	}
	all := append([]*sections{s}, s.included()...)
	for _, one := range all {
		one.reader.defaults(one.groups, "groups", inv.groups)
		one.reader.defaults(one.roles, "roles", inv.roles)
	}
	for _, one := range all {
		inv.addHosts(one)
		inv.addTargets(one)
	}
	if conf := s.readMunin(c); conf != nil {
		inv.addMunin(conf)
	}
	inv.finish()
	for _, one := range all {
		c.Levels = append(c.Levels, one.reader.overrides(one.levels, levelsSection(), c)...)
		c.Graphs = append(c.Graphs, one.reader.overrides(one.graphs, graphsSection(), c)...)
	}
}

// included reads the files that include names, by name.
func (s *sections) included() []*sections {
	var list []*sections
	if s.include == nil {
		return nil
	}
	for _, pattern := range s.reader.texts(s.include) {
		for _, r := range s.reader.files(s.include.Line, "include", pattern) {
			text, err := readFile(r.name)
			if err != nil {
				s.reader.problem(s.include.Line, "include: %v", err)
				continue
			}
			one := &sections{reader: r}
			if root, ok := r.document(text); ok {
				r.mapping(root, "", one.keys())
			}
			list = append(list, one)
		}
	}
	return list
}

// files are readers for the files that a pattern names, which share what is found wrong.
func (r *reader) files(line int, key, pattern string) []*reader {
	if r.folder == nil {
		return nil
	}
	names, err := r.folder.names(pattern)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.problem(line, "%s: there is no file %s", key, r.folder.path(pattern))
		return nil
	case err != nil:
		r.problem(line, "%s: %v", key, err)
		return nil
	}
	list := make([]*reader, len(names))
	for i, name := range names {
		list[i] = &reader{findings: r.findings, name: name, flags: r.flags, folder: r.folder}
	}
	return list
}

// defaults are what a group or a role says for its hosts. Zero values say nothing.
type defaults struct {
	where       string            // in words: "corbie.yml:14"
	places      map[string]string // of single settings, where that is another
	at          Place
	interval    time.Duration
	schedule    *jobs.Schedule // instead of interval
	silentAfter time.Duration
	timeouts    poll.Timeouts
	tls         encryption
	tags        []string
	plugins     []PluginRule
	facts       map[string]string
	keep        *groupKeep // of a group alone; nil: it says nothing
	said        []Said     // filled in where something was taken from elsewhere
}

// fill takes what is not said from elsewhere. Tags and rules for plugins add up; of facts each is one of its own.
func (d *defaults) fill(from *defaults) {
	note := func(key, value string) {
		d.said = append(d.said, Said{key, value, cmp.Or(from.places[key], from.where)})
	}
	take := func(key string, to *time.Duration, value time.Duration) {
		if *to == 0 && value != 0 {
			*to = value
			note(key, munin.FormatDuration(value))
		}
	}
	if d.interval == 0 && d.schedule == nil {
		if d.schedule = from.schedule; d.schedule != nil {
			note("schedule", d.schedule.String())
		}
		take("interval", &d.interval, from.interval)
	}
	take("silent_after", &d.silentAfter, from.silentAfter)
	take("timeouts.dial", &d.timeouts.Dial, from.timeouts.Dial)
	take("timeouts.idle", &d.timeouts.Idle, from.timeouts.Idle)
	take("timeouts.plugin", &d.timeouts.Plugin, from.timeouts.Plugin)
	take("timeouts.host", &d.timeouts.Host, from.timeouts.Host)
	d.tls.fill(&from.tls, note)
	if len(from.tags) > 0 {
		note("tags", strings.Join(from.tags, " "))
	}
	d.tags = append(d.tags, from.tags...)
	d.plugins = append(d.plugins, from.plugins...)
	d.fillFacts(from, note)
}

// keys are what a group, a role and a host can all say.
func (d *defaults) keys(r *reader, where string) map[string]func(*node) {
	return map[string]func(*node){
		"interval":     func(n *node) { d.interval = r.duration(n, minInterval, maxInterval); r.oneRhythm(n, d) },
		"schedule":     func(n *node) { d.schedule = r.schedule(n); r.oneRhythm(n, d) },
		"silent_after": func(n *node) { d.silentAfter = r.duration(n, minInterval, munin.MaxRange) },
		"timeouts":     func(n *node) { r.timeouts(n, where+".timeouts", &d.timeouts) },
		"tls":          func(n *node) { r.tls(n, where+".tls", &d.tls) },
		"tags":         func(n *node) { d.tags = append(d.tags, r.tags(n)...) },
		"plugins":      func(n *node) { d.plugins = append(d.plugins, r.plugins(n, where+".plugins")...) },
		"facts":        func(n *node) { d.facts = r.facts(n, where+".facts") },
	}
}

// schedule reads a cron schedule of polls.
func (r *reader) schedule(n *node) *jobs.Schedule {
	value := r.text(n)
	if value == "" {
		return nil
	}
	s, err := jobs.ParseSchedule(value)
	if err == nil && (shortest(&s) < minInterval || shortest(&s) > maxInterval) {
		err = fmt.Errorf("schedule %q: want polls %s to %s apart", short(value), munin.FormatDuration(minInterval), munin.FormatDuration(maxInterval))
	}
	if err != nil {
		r.problem(n.Line, "%v", err)
		return nil
	}
	return &s
}

// shortest is the shortest time between two instants of a schedule, as far as a year shows it.
func shortest(s *jobs.Schedule) time.Duration {
	const most = 2000
	least := time.Duration(math.MaxInt64)
	at := s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for range most {
		next := s.Next(at)
		if next.IsZero() || next.Year() > 2026 {
			break
		}
		least, at = min(least, next.Sub(at)), next
	}
	return least
}

func (r *reader) oneRhythm(n *node, d *defaults) {
	if d.interval != 0 && d.schedule != nil {
		r.problem(n.Line, "only one of interval and schedule can be set")
	}
}

// defaults reads the section groups or roles.
func (r *reader) defaults(n *node, section string, into map[string]*defaults) {
	if n == nil {
		return
	}
	for _, e := range r.entries(n, section) {
		name := e.key.Value
		d := &defaults{at: r.at(e.key.Line), where: r.at(e.key.Line).String()}
		if section == "groups" {
			name = r.groupPath(e.key.Line, name)
		} else if name = r.tag(e.key); name != "" {
			d.tags = []string{name}
		}
		where := section + "." + e.key.Value
		keys := d.keys(r, where)
		if section == "groups" {
			keys["retention"] = func(n *node) { d.keep = r.groupKeep(n, where+".retention") }
		}
		r.mapping(e.value, where, keys)
		if before, twice := into[name]; twice && name != "" {
			r.problem(e.key.Line, "%s: %q is there twice, first in %s", section, name, before.where)
			continue
		}
		into[name] = d
	}
}

// tag reads a word by which hosts are picked.
func (r *reader) tag(n *node) string {
	value := r.text(n)
	if value == "" {
		return ""
	}
	if err := checkName(value, "=:/@"); err != nil {
		r.problem(n.Line, "the tag %q: %v", short(value), err)
		return ""
	}
	return value
}

func (r *reader) tags(n *node) []string {
	var list []string
	for _, item := range oneOrMore(n) {
		if tag := r.tag(item); tag != "" {
			list = append(list, tag)
		}
	}
	return list
}

// plugins reads "pattern: interval", or "pattern: never".
func (r *reader) plugins(n *node, where string) []PluginRule {
	var list []PluginRule
	for _, e := range r.valued(n, where, "write an interval or never") {
		rule := PluginRule{Pattern: e.key.Value, At: r.at(e.key.Line), Every: -1}
		if name := strings.NewReplacer("*", "x", "?", "x").Replace(rule.Pattern); munin.ValidatePluginName(name) != nil {
			r.problem(e.key.Line, "%s: %q: want the name of a plugin, in which * and ? may stand for others", where, short(rule.Pattern))
			continue
		}
		if e.value.Value != "never" {
			rule.Every = r.duration(e.value, minInterval, maxInterval)
		}
		list = append(list, rule)
	}
	return list
}

func (inv *inventory) addHosts(s *sections) {
	if s.hosts == nil {
		return
	}
	for _, e := range s.reader.entries(s.hosts, "hosts") {
		if raw, ok := s.reader.host(e); ok {
			inv.add(&raw)
		}
	}
}

// add completes a host and keeps it.
func (inv *inventory) add(raw *rawHost) {
	host := raw.host(inv)
	if before, twice := inv.hosts[host.ID]; twice {
		inv.problemAt(raw.at, "the host %s is there twice, first in %s", host.ID, before)
		return
	}
	inv.hosts[host.ID] = raw.at
	if host.SilentAfter < host.Interval*3/2 && host.Address != "" {
		inv.warnAt(raw.at, "silent_after of %s is %s, but it is polled every %s: one late answer will be a problem",
			host.ID, munin.FormatDuration(host.SilentAfter), munin.FormatDuration(host.Interval))
	}
	inv.conf.Hosts = append(inv.conf.Hosts, host)
}

// finish orders the hosts and looks at them as a whole.
func (inv *inventory) finish() {
	for path, d := range inv.groups {
		if path != "" && !inv.used[path] {
			inv.warnAt(d.at, "no host is in the group %q", path)
		}
	}
	for name, d := range inv.roles {
		if name != "" && !inv.used["@"+name] {
			inv.warnAt(d.at, "no host has the role %q", name)
		}
	}
	inv.keeps(inv.conf.Retention)
	hosts := inv.conf.Hosts
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Compare(a.ID, b.ID) })
	inv.sharedAddresses(hosts)
	inv.conf.tags = make(map[munin.HostID][]string)
	for i := range hosts {
		if len(hosts[i].Tags) > 0 {
			inv.conf.tags[hosts[i].ID] = hosts[i].Tags
		}
	}
}

// sharedAddresses makes sure that a node that speaks for several hosts is asked for each by name only.
func (inv *inventory) sharedAddresses(hosts []Host) {
	behind := make(map[string][]*Host)
	for i := range hosts {
		if h := &hosts[i]; h.Address != "" {
			behind[h.Address] = append(behind[h.Address], h)
		}
	}
	for _, address := range slices.Sorted(maps.Keys(behind)) {
		if some := behind[address]; len(some) > 1 {
			inv.askByName(address, some)
			inv.warnOfTwins(some)
		}
	}
}

// askByName makes hosts behind one address ask for their own names, and says so where the configuration does not.
func (inv *inventory) askByName(address string, hosts []*Host) {
	var second *Host // the last of those that do not say it
	for _, h := range hosts {
		if h.Naming != poll.NameAuto {
			continue
		}
		h.Naming = poll.NameHost
		if !h.munin && (second == nil || h.At.File != second.At.File || h.At.Line > second.At.Line) {
			second = h
		}
	}
	if second != nil {
		inv.warnAt(second.At, "%d hosts have the address %s (%s): each is asked for by its own name, and has no graphs where the node does not know it; "+
			"write use_node_name: no where that is meant", len(hosts), address, names(hosts))
	}
}

// warnOfTwins says which hosts behind one address ask for the same.
func (inv *inventory) warnOfTwins(hosts []*Host) {
	seen := make(map[string]*Host)
	for _, h := range hosts {
		name := strings.ToLower(cmp.Or(h.NodeName, h.ID.Name()))
		if h.Naming == poll.NameBanner || h.Naming == poll.NameNone {
			name = ""
		}
		if before, same := seen[name]; same {
			at := h.At
			if before.At.File == at.File && before.At.Line > at.Line {
				at = before.At
			}
			inv.warnAt(at, "%s and %s have the same address and ask for the same node: they will show the same values; set node_name", before.ID, h.ID)
		}
		seen[name] = h
	}
}

// names are those of a few hosts.
func names(hosts []*Host) string {
	const most = 4
	var list []string
	for i, h := range hosts {
		if i == most {
			list = append(list, "…")
			break
		}
		list = append(list, string(h.ID))
	}
	return strings.Join(list, ", ")
}

// settle makes the tags a sorted set.
func settle(tags []string) []string {
	set := make(map[string]bool, len(tags))
	for _, tag := range tags {
		set[tag] = true
	}
	return slices.Sorted(maps.Keys(set))
}
