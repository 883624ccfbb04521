package configure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Change is a link to add to the plugin folder, or to remove from it.
type Change struct {
	Remove bool
	Link   string // name in the plugin folder
	Target string // path of the plugin in the library
}

// Plan says how the plugin folder is to be changed so that it holds what the plugins said. Links are removed
// only when asked for, and only those of plugins that answered: one that broke or was not asked keeps its links.
func Plan(plugins []*Plugin, removeAlso bool) []Change {
	var changes []Change
	for _, p := range plugins {
		for _, name := range p.missing() {
			changes = append(changes, Change{Link: name, Target: p.Path})
		}
		if !removeAlso {
			continue
		}
		for _, name := range p.superfluous() {
			changes = append(changes, Change{Remove: true, Link: name, Target: p.Path})
		}
	}
	return changes
}

// wantedLinks are the names under which the plugin should be linked, were there no native plugins.
func (p *Plugin) wantedLinks() []string {
	if !p.Useful || p.Path == "" {
		return nil
	}
	if !p.Wildcard() && !p.isSNMP() {
		return []string{p.Name}
	}
	names := make([]string, 0, len(p.Wanted))
	for _, ending := range p.Wanted {
		names = append(names, p.linkName(ending))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// linkName is the name of the plugin's link for an instance. An SNMP plugin has the host inside of its name, and
// what comes after a slash at the end: snmp__if_ with switch1/3 is snmp_switch1_if_3.
func (p *Plugin) linkName(ending string) string {
	if !p.isSNMP() {
		return p.Name + ending
	}
	family, rest, _ := strings.Cut(p.Name, "__")
	host, index, _ := strings.Cut(ending, "/")
	return family + "_" + host + "_" + rest + index
}

// ending is the reverse of linkName, as far as one can tell.
func (p *Plugin) ending(link string) string {
	if !p.isSNMP() {
		return strings.TrimPrefix(link, p.Name)
	}
	family, rest, _ := strings.Cut(p.Name, "__")
	found := regexp.MustCompile("^" + family + "_(.+)_" + regexp.QuoteMeta(rest) + "(.*)$").FindStringSubmatch(link)
	switch {
	case found == nil:
		return link
	case found[2] == "":
		return found[1]
	}
	return found[1] + "/" + found[2]
}

// missing are the names that should be links and are none. What a native plugin does needs none.
func (p *Plugin) missing() []string {
	return without(without(p.wantedLinks(), p.Links), p.Native)
}

// superfluous are the names that are links and should not be. Nobody knows what to think of links to hosts whose
// SNMP agents were not asked, or did not answer.
func (p *Plugin) superfluous() []string {
	broken := p.Useful && p.Suggest && len(p.Faults) > 0 // Its suggestions may be missing some.
	if !p.Answered || broken {
		return nil
	}
	names := without(p.Links, p.wantedLinks())
	if !p.isSNMP() {
		return names
	}
	return slices.DeleteFunc(names, func(name string) bool {
		host, _, _ := strings.Cut(p.ending(name), "/")
		return !slices.Contains(p.Hosts, host)
	})
}

func without(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return slices.Contains(others, name) })
}

// Shell writes a change as a command for a shell.
func (c Change) Shell(serviceDir string) string {
	link := quote(filepath.Join(serviceDir, c.Link))
	if c.Remove {
		return "rm -f " + link
	}
	return "ln -s " + quote(c.Target) + " " + link
}

// quote makes one word of a shell of any text.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// String says what the change is, for people.
func (c Change) String() string {
	if c.Remove {
		return fmt.Sprintf("remove %s (to %s)", c.Link, c.Target)
	}
	return fmt.Sprintf("add %s (to %s)", c.Link, c.Target)
}

// Apply makes the change. Nothing is ever overwritten, and nothing removed but a link to the plugin.
func (c Change) Apply(serviceDir string) error {
	link := filepath.Join(serviceDir, c.Link)
	if filepath.Base(link) != c.Link || c.Link == "." || c.Link == ".." {
		return fmt.Errorf("%q is no name for a link", c.Link)
	}
	if !c.Remove {
		err := os.Symlink(c.Target, link)
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s is there already and leads elsewhere: remove it first if it is not needed", link)
		}
		return err
	}
	target, err := linkTarget(link)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", link, err)
	}
	if target != realPath(c.Target) {
		return fmt.Errorf("remove %s: it leads to %s by now", link, target)
	}
	return os.Remove(link)
}
