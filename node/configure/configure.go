// Package configure finds out which plugins of a library are of use on this machine, and which links in the
// node's plugin folder follow from that.
//
// A library is a folder of plugins of which none runs by lying there; the plugin folder of a node holds links
// to those that do. Each plugin carries markers that say to which family it belongs and which questions it can
// answer: autoconf (is there anything for you to measure here?), suggest (which instances of you?) and snmpconf
// (what must an SNMP agent offer?). Survey asks, the rest is pure: Plan says which links to add and to remove,
// and what is printed follows munin-node-configure, as scripts read it.
//
// A native plugin of the node needs no link. One that stands in for a script is served anyway, so the script is
// not suggested: a link to it would take the native one's place.
package configure

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"corbie/node"
)

// Families of plugins, by the word in their marker.
const (
	FamilyAuto     = "auto"     // of use wherever autoconf says so
	FamilyManual   = "manual"   // to be chosen by somebody
	FamilyContrib  = "contrib"  // from somewhere else; the family of a plugin without a marker
	FamilySNMPAuto = "snmpauto" // of use for another machine, by what its SNMP agent says
)

const (
	// maxPluginBytes is how much of a plugin is searched for markers.
	maxPluginBytes = 1 << 20
	// maxSuggestions is how many instances of one plugin may be suggested.
	maxSuggestions = 4096
)

// Plugin is a plugin of a library, or a native one, with what is known of its use on this machine.
type Plugin struct {
	Name   string
	Path   string // of the script; empty for a native plugin that stands in for none
	Family string
	// Autoconf, Suggest and SNMPConf say which questions the plugin can answer.
	Autoconf, Suggest, SNMPConf bool

	// Links are the names in the plugin folder that lead to this plugin, sorted.
	Links []string
	// Native are the names under which native plugins do what this one would, sorted.
	Native []string

	Answered bool     // the plugin said yes or no
	Useful   bool     // it said yes
	Reason   string   // why not
	Disabled bool     // plugin-conf.d keeps it from being asked
	Wanted   []string // endings of the names under which it should be linked, for wildcards
	Needs    SNMPNeeds
	Hosts    []string // whose SNMP agents answered
	Faults   []string // what is wrong with the plugin or its answers
}

// Wildcard says whether the plugin is linked once for each thing it measures, with the thing's name after its own.
func (p *Plugin) Wildcard() bool { return strings.HasSuffix(p.Name, "_") }

// isSNMP says whether the plugin is linked once for each machine that it asks by SNMP.
func (p *Plugin) isSNMP() bool {
	return strings.HasPrefix(p.Name, "snmp__") || strings.HasPrefix(p.Name, "snmpv3__")
}

func (p *Plugin) fault(format string, args ...any) {
	const most = 20
	if len(p.Faults) < most {
		p.Faults = append(p.Faults, fmt.Sprintf(format, args...))
	}
}

// Folder is a consumer contract for a folder of plugins. It models the list of a node.Catalogue.
type Folder interface {
	Plugins() []node.Plugin
}

// Load reads the markers of all plugins of a library and keeps those of the families named, sorted by name.
// What cannot be read is a fault of the plugin.
func Load(library Folder, families []string) []*Plugin {
	var found []*Plugin
	for _, script := range library.Plugins() {
		p := &Plugin{Name: script.Name, Path: script.Path, Family: FamilyContrib}
		if err := p.readMarkers(); err != nil {
			p.fault("%v", err)
		}
		if slices.Contains(families, p.Family) {
			found = append(found, p)
		}
	}
	return found
}

func (p *Plugin) readMarkers() error {
	file, err := os.Open(p.Path)
	if err != nil {
		return fmt.Errorf("read its markers: %w", err)
	}
	defer file.Close()
	return p.ParseMarkers(file)
}

var markerPattern = regexp.MustCompile(`#%#\s+(family|capabilities)\s*=\s*(\S.*)`)

// ParseMarkers takes the family and the abilities of the plugin from its text: lines with "#%# family=WORD" and
// "#%# capabilities=WORD WORD". What contradicts itself becomes a fault. A plugin may be a program in machine
// code: only its first megabyte counts.
func (p *Plugin) ParseMarkers(text io.Reader) error {
	lines := bufio.NewScanner(io.LimitReader(text, maxPluginBytes))
	lines.Buffer(nil, maxPluginBytes+1)
	for lines.Scan() {
		if !bytes.Contains(lines.Bytes(), []byte("#%#")) {
			continue
		}
		found := markerPattern.FindStringSubmatch(lines.Text())
		if found == nil {
			continue
		}
		words := strings.Fields(found[2])
		if found[1] == "family" {
			p.Family = words[0]
			continue
		}
		for _, word := range words {
			switch word {
			case "autoconf":
				p.Autoconf = true
			case "suggest":
				p.Suggest = true
			case "snmpconf":
				p.SNMPConf = true
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read its markers: %w", err)
	}
	p.checkMarkers()
	return nil
}

// checkMarkers finds what contradicts itself in the markers.
func (p *Plugin) checkMarkers() {
	if p.Family == FamilyAuto && !p.Autoconf {
		p.fault("its family is auto, but autoconf is not among its capabilities")
	}
	if p.Family == FamilySNMPAuto && !p.SNMPConf {
		p.fault("its family is snmpauto, but snmpconf is not among its capabilities")
	}
	if p.Suggest && !p.Wildcard() {
		p.fault("suggest is among its capabilities, but its name does not end with an underscore")
	}
}

// Merge joins the plugins of several libraries, sorted by name. Of two with the same name, that of the earlier
// library stays.
func Merge(libraries ...[]*Plugin) []*Plugin {
	var all []*Plugin
	seen := make(map[string]bool)
	for _, library := range libraries {
		for _, p := range library {
			if !seen[p.Name] {
				seen[p.Name] = true
				all = append(all, p)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Plugin) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// FindLinks notes which names in the plugin folder lead to which of the plugins. Files and links to elsewhere
// are somebody's own and left alone.
func FindLinks(plugins []*Plugin, services Folder) {
	byPath := make(map[string]*Plugin, len(plugins))
	for _, p := range plugins {
		if p.Path != "" {
			byPath[realPath(p.Path)] = p
		}
	}
	for _, service := range services.Plugins() {
		target, err := linkTarget(service.Path)
		if err != nil {
			continue
		}
		if p := byPath[target]; p != nil {
			p.Links = append(p.Links, service.Name)
		}
	}
	for _, p := range plugins {
		slices.Sort(p.Links)
	}
}

var errNoLink = errors.New("it is not a link")

// linkTarget is the file to which a link itself leads, with the links in the names of folders resolved, but not
// a link that the file may be.
func linkTarget(link string) (string, error) {
	target, err := os.Readlink(link)
	if errors.Is(err, syscall.EINVAL) {
		return "", errNoLink
	}
	if err != nil {
		return "", err
	}
	if !filepath.IsAbs(target) {
		target = filepath.Join(filepath.Dir(link), target)
	}
	return realPath(target), nil
}

func realPath(path string) string {
	folder, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return filepath.Clean(path)
	}
	return filepath.Join(folder, filepath.Base(path))
}

// AddNative notes which of the plugins the node can do without a script, and adds those native plugins that
// stand in for no script. Names are those of the native plugins that the node offers.
func AddNative(plugins []*Plugin, names []string) []*Plugin {
	taken := make(map[string]bool)
	for _, p := range plugins {
		for _, name := range names {
			if name == p.Name || p.Wildcard() && !p.isSNMP() && owner(plugins, name) == p {
				p.Native = append(p.Native, name)
				taken[name] = true
			}
		}
	}
	var alone []*Plugin
	for _, name := range names {
		if !taken[name] {
			alone = append(alone, &Plugin{Name: name, Family: FamilyAuto, Native: []string{name}, Answered: true, Useful: true})
		}
	}
	return Merge(plugins, alone)
}

// owner is the plugin of which a name is an instance: the one with the longest name that the other begins with,
// as if_err_eth0 is one of if_err_ and not of if_.
func owner(plugins []*Plugin, name string) *Plugin {
	var best *Plugin
	for _, p := range plugins {
		fits := p.Name == name || p.Wildcard() && strings.HasPrefix(name, p.Name)
		if fits && (best == nil || len(p.Name) > len(best.Name)) {
			best = p
		}
	}
	return best
}
