package configure

import (
	"fmt"
	"slices"
	"strings"
)

// Newer lists the plugins that came with later versions than the one named. The text is that of Munin's file
// plugins.history: the versions in their order, as [VERSION], and below each the plugins that came with it,
// those for one system only as SYSTEM/PLUGIN. The system is the name of this one in lower case: linux. The error
// names the versions that there are when this one is not among them.
func Newer(text, version, system string) (map[string]bool, error) {
	var versions []string
	newer := make(map[string]bool)
	known, later := false, false
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if inner, ok := strings.CutPrefix(line, "["); ok && strings.HasSuffix(inner, "]") {
			inner = strings.TrimSuffix(inner, "]")
			versions = append(versions, inner)
			later = known
			known = known || inner == version
			continue
		}
		if of, plugin, ok := strings.Cut(line, "/"); ok {
			if of != system {
				continue
			}
			line = plugin
		}
		if line != "" && later {
			newer[line] = true
		}
	}
	if !known {
		return nil, fmt.Errorf("version %q is not in the plugins' history, which knows %s", clip(version), clip(strings.Join(versions, ", ")))
	}
	return newer, nil
}

// KeepNewer keeps the plugins that Newer lists, and all that do not come from Munin's own collection of
// automatic ones, of whose age nobody knows.
func KeepNewer(plugins []*Plugin, newer map[string]bool) []*Plugin {
	return slices.DeleteFunc(plugins, func(p *Plugin) bool { return p.Family == FamilyAuto && !newer[p.Name] })
}
