package config

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
)

// Keep is how long the values of the hosts of a group are kept; a length of zero means for ever.
type Keep struct {
	Raw, Hour, Day time.Duration
}

// groupKeep is what a group says under retention; what it does not say is nil.
type groupKeep struct {
	at             Place
	raw, hour, day *time.Duration
}

// groupKeep reads the retention of a group.
func (r *reader) groupKeep(n *node, where string) *groupKeep {
	k := &groupKeep{at: r.at(n.Line)}
	set := func(to **time.Duration) func(*node) {
		return func(n *node) { value := r.keep(n); *to = &value }
	}
	r.mapping(n, where, map[string]func(*node){"raw": set(&k.raw), "hours": set(&k.hour), "days": set(&k.day)})
	return k
}

// keeps settles how long the values of each group are kept that says something about it: what it does not say, the groups around it say, and
// then the master. Only less than everybody's is possible, since all share their blocks.
func (inv *inventory) keeps(master Retention) {
	said := make(map[string]*groupKeep)
	for path, d := range inv.groups {
		if d.keep != nil {
			said[path] = d.keep
		}
	}
	if len(said) == 0 {
		return
	}
	inv.conf.kept = make(map[string]Keep, len(said))
	paths := make([]string, 0, len(said))
	for path := range said {
		paths = append(paths, path)
	}
	slices.SortFunc(paths, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	for _, path := range paths { // those around it come first
		k := Keep{Raw: master.Raw, Hour: master.Hour, Day: master.Day}
		if around, ok := inv.conf.keepOf(outer(path)); ok {
			k = around
		}
		own := said[path]
		inv.shorter(own, path, "raw", "retention", &k.Raw, own.raw, master.Raw)
		inv.shorter(own, path, "hours", "retention_hour", &k.Hour, own.hour, master.Hour)
		inv.shorter(own, path, "days", "retention_day", &k.Day, own.day, master.Day)
		if longer(k.Raw, k.Hour) {
			inv.problemAt(own.at, "groups.%s.retention: hours are kept for %s and raw values for %s: what is kept longest must be the coarsest; write raw: %s or less too",
				short(path), lasting(k.Hour), lasting(k.Raw), lasting(k.Hour))
		}
		if longer(k.Hour, k.Day) {
			inv.problemAt(own.at, "groups.%s.retention: days are kept for %s and hours for %s: what is kept longest must be the coarsest; write hours: %s or less too",
				short(path), lasting(k.Day), lasting(k.Hour), lasting(k.Day))
		}
		inv.conf.kept[path] = k
		if inv.conf.Elsewhere {
			inv.warnAt(own.at, "groups.%s.retention has no effect with \"storage: remote\": how long samples are kept is said in the engine", short(path))
		}
	}
}

// shorter takes over one length of a group, and refuses one that is longer than the master's.
func (inv *inventory) shorter(own *groupKeep, path, key, of string, to, value *time.Duration, most time.Duration) {
	if value == nil {
		return
	}
	if longer(*value, most) {
		inv.problemAt(own.at, "groups.%s.retention: %s: %s is longer than %s of the master, which is %s: a group can only be kept for less; raise %s, and shorten it for the other groups",
			short(path), key, lasting(*value), of, lasting(most), of)
		return
	}
	*to = *value
}

// outer is the group around a group; empty where there is none.
func outer(path string) string { return path[:max(strings.LastIndexByte(path, ';'), 0)] }

// lasting is a length of time as one would write it in the file.
func lasting(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == 0:
		return forever
	case d%(365*day) == 0:
		return strconv.Itoa(int(d/(365*day))) + "y"
	case d%day == 0:
		return strconv.Itoa(int(d/day)) + "d"
	}
	return munin.FormatDuration(d)
}

// keepOf finds what holds for a group, from itself or those around it.
func (c *Config) keepOf(group string) (Keep, bool) {
	for ; group != ""; group = outer(group) {
		if k, ok := c.kept[group]; ok {
			return k, true
		}
	}
	return Keep{}, false
}

// Keep is how long the values of a host are kept, by its group; it need not be configured. It is false where that is as long as everybody's.
func (c *Config) Keep(id munin.HostID) (Keep, bool) { return c.keepOf(id.Group()) }

// KeepsLess says whether any group is kept for less than the rest.
func (c *Config) KeepsLess() bool { return len(c.kept) > 0 }
