package configure

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// yesNo is how tables say it.
func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// used says whether the plugin runs on this node already, by a link or as a native one.
func (p *Plugin) used() bool { return len(p.Links) > 0 || len(p.Native) > 0 }

// installed is the last column of a list: the instances that are linked, and those that are native.
func (p *Plugin) installed() string {
	var words []string
	for _, link := range p.Links {
		if ending := p.ending(link); ending != "" {
			words = append(words, ending)
		}
	}
	if note := p.nativeNote(); note != "" {
		words = append(words, note)
	}
	return strings.Join(words, " ")
}

// nativeNote tells that native plugins do the work, and which unless it is all of it.
func (p *Plugin) nativeNote() string {
	native := without(p.Native, p.Links)
	if len(native) == 0 {
		return ""
	}
	if !p.Wildcard() {
		return "{native: no link needed}"
	}
	for i, name := range native {
		native[i] = p.ending(name)
	}
	return "{native: " + strings.Join(native, " ") + "}"
}

// Suggestion is the last column of a table of suggestions: yes with the instances, of which + stands before
// those to add and - before those to remove, or no with the reason. What native plugins do stands in braces.
func (p *Plugin) Suggestion() string {
	if !p.Useful {
		return "no" + p.whyNot()
	}
	text := "yes"
	if words := p.instances(); len(words) > 0 {
		text += " (" + strings.Join(words, " ") + ")"
	}
	if note := p.nativeNote(); note != "" {
		text += " " + note
	}
	return text
}

func (p *Plugin) instances() []string {
	var have, superfluous, native []string
	for _, link := range p.Links {
		if ending := p.ending(link); ending != "" {
			have = append(have, ending)
		}
	}
	for _, name := range p.Native {
		native = append(native, p.ending(name))
	}
	for _, name := range p.superfluous() {
		superfluous = append(superfluous, p.ending(name))
	}
	wanted := slices.Compact(slices.Sorted(slices.Values(p.Wanted)))
	slices.Sort(have)
	words := without(have, superfluous)
	for _, ending := range without(without(wanted, have), native) {
		words = append(words, "+"+ending)
	}
	for _, ending := range superfluous {
		words = append(words, "-"+ending)
	}
	return words
}

func (p *Plugin) whyNot() string {
	switch {
	case p.Reason != "":
		return " [" + p.Reason + "]"
	case p.Disabled:
		return " [not asked: disable_autoconf in plugin-conf.d]"
	case len(p.Faults) > 0:
		return " [[[ plugin has errors, see below ]]]"
	case !p.Autoconf && !p.Suggest && !p.SNMPConf:
		return " [[[ plugin has neither autoconf nor suggest support ]]]"
	case p.SNMPConf:
		return " [no agent offers what it needs]"
	}
	return " [[[ plugin gave no reason why ]]]"
}

// WriteTable prints the plugins in the columns of munin-node-configure: the suggestions, or only what is in use.
func WriteTable(w io.Writer, plugins []*Plugin, suggest bool) error {
	const format = "%-26s | %-4s | %-39s\n"
	title, last := "Extra information", (*Plugin).installed
	if suggest {
		title, last = "Suggestions", (*Plugin).Suggestion
	}
	var text strings.Builder
	fmt.Fprintf(&text, format, "Plugin", "Used", title)
	fmt.Fprintf(&text, format, "------", "----", strings.Repeat("-", len(title)))
	for _, p := range plugins {
		fmt.Fprintf(&text, format, p.Name, yesNo(p.used()), last(p))
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// row is a plugin as JSON.
type row struct {
	Plugin string   `json:"plugin"`
	Path   string   `json:"path,omitempty"`
	Family string   `json:"family"`
	Used   bool     `json:"used"`
	Links  []string `json:"links,omitempty"`
	Native []string `json:"native,omitempty"`
	Useful *bool    `json:"useful,omitempty"` // absent when the plugin did not say
	Reason string   `json:"reason,omitempty"`
	Add    []string `json:"add,omitempty"`
	Remove []string `json:"remove,omitempty"`
	Faults []string `json:"faults,omitempty"`
}

// WriteJSON prints what the tables say as one JSON array.
func WriteJSON(w io.Writer, plugins []*Plugin) error {
	rows := make([]row, 0, len(plugins))
	for _, p := range plugins {
		r := row{
			Plugin: p.Name, Path: p.Path, Family: p.Family, Used: p.used(), Links: p.Links, Native: p.Native,
			Reason: p.Reason, Add: p.missing(), Remove: p.superfluous(), Faults: p.Faults,
		}
		if p.Answered {
			r.Useful = &p.Useful
		}
		rows = append(rows, r)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(rows)
}

// WriteFaults prints what is wrong with plugins, and says whether there was anything to print.
func WriteFaults(w io.Writer, plugins []*Plugin) bool {
	found := false
	for _, p := range plugins {
		if len(p.Faults) == 0 {
			continue
		}
		if !found {
			fmt.Fprintln(w, "# The following plugins caused errors:")
		}
		found = true
		fmt.Fprintf(w, "# %s:\n", p.Name)
		for _, fault := range p.Faults {
			fmt.Fprintf(w, "# \t%s\n", fault)
		}
	}
	return found
}
