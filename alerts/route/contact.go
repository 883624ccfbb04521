package route

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"corbie/munin"
)

// contact is a command as Munin's contacts have them: its arguments and the text that it reads are templates.
type contact struct {
	args []*munin.Message
	text *munin.Message
}

func newContact(c *Command) (*contact, error) {
	out := &contact{}
	for _, arg := range c.Argv {
		m, err := munin.ParseMessage(arg)
		if err != nil {
			return nil, fmt.Errorf("command: %w", err)
		}
		out.args = append(out.args, m)
	}
	text := c.Text
	if text == "" {
		text = defaultText()
	}
	var err error
	if out.text, err = munin.ParseMessage(text); err != nil {
		return nil, fmt.Errorf("text of the command: %w", err)
	}
	return out, nil
}

// defaultText is what a contact reads that has no text of its own: a line for the graph, and one for each level.
func defaultText() string {
	var b strings.Builder
	b.WriteString("${var:group} :: ${var:host} :: ${var:graph_title}")
	for _, block := range []struct{ list, word, bounds string }{
		{"cfields", "CRITICAL", "crange"}, {"wfields", "WARNING", "wrange"}, {"ufields", "UNKNOWN", ""}, {"fofields", "OK", ""},
	} {
		outside := ""
		if block.bounds != "" {
			outside = " (outside range [${var:" + block.bounds + "}])"
		}
		fmt.Fprintf(&b, "${if:%s \n\t%ss:${loop<,>:%s  ${var:label} is ${var:value}%s${if:extinfo : ${var:extinfo}}}.}",
			block.list, block.word, block.list, outside)
	}
	return b.String() + "\n"
}

// argv fills the arguments in. One that begins with a value cannot become an option.
func (c *contact) argv(scope munin.Scope) []string {
	list := make([]string, len(c.args))
	for i, arg := range c.args {
		list[i] = munin.CleanText(arg.Expand(scope))
		if arg.BeginsWithValue() {
			list[i] = strings.TrimLeft(list[i], "-")
		}
	}
	return list
}

// worstIDs are the numbers that Nagios has for the levels.
func worstID(l munin.Level) int {
	switch l {
	case munin.OK:
		return 0
	case munin.Warning:
		return 1
	case munin.Critical:
		return 2
	case munin.Unknown:
	}
	return 3
}

// scope is what the names of Munin's templates stand for in a message. A message has the fields of one graph, unless
// notify.group_by puts more together; then the labels have the graph's title in front.
func (m *message) scope() munin.Scope {
	lead := m.lead()
	id, about := lead.notice.State.ID, lead.notice.Graph
	all := slices.Concat(m.plan.changed, m.plan.open)
	all = all[:min(len(all), maxItems)]
	s := munin.Scope{Within: make(map[string]munin.Scope), Vars: map[string]string{
		"group": strings.ReplaceAll(id.Host.Group(), ";", "-"), "host": id.Host.Name(), "plugin": id.Graph,
		"graph_title": about.Title, "graph_category": about.Category, "graph_info": about.Info, "graph_vlabel": about.Unit,
		"worst": strings.ToUpper(lead.level.String()), "worstid": strconv.Itoa(worstID(lead.level)),
	}}
	if id.Graph == "" {
		s.Vars["graph_title"] = headline(lead.notice)
	}
	lists := make(map[string][]string)
	for i, it := range all {
		name := it.notice.State.ID.Field
		if _, twice := s.Within[name]; twice || name == "" {
			name += "_" + strconv.Itoa(i)
		}
		s.Within[name] = munin.Scope{Vars: it.fieldVars(id)}
		list := map[munin.Level]string{munin.Critical: "cfields", munin.Warning: "wfields", munin.Unknown: "ufields", munin.OK: "fofields"}[it.level]
		lists[list] = append(lists[list], name)
		lists["fields"] = append(lists["fields"], name)
	}
	lists["ofields"] = lists["fofields"]
	for _, list := range []string{"cfields", "wfields", "ufields", "fofields", "ofields", "fields"} {
		s.Vars[list] = strings.Join(lists[list], " ")
		s.Vars["num"+list] = strconv.Itoa(len(lists[list]))
	}
	return s
}

// fieldVars are the variables of one field.
func (it item) fieldVars(lead munin.SeriesID) map[string]string {
	state, about := it.notice.State, it.notice.Graph
	vars := map[string]string{
		"label": about.Label, "value": "unknown", "info": about.FieldInfo, "extinfo": about.ExtInfo,
		"wrange": about.Warning.String(), "crange": about.Critical.String(),
	}
	if !math.IsNaN(state.Value) {
		vars["value"] = strconv.FormatFloat(state.Value, 'f', 2, 64)
	}
	switch {
	case state.ID.Graph == "":
		vars["label"], vars["value"], vars["extinfo"] = state.ID.Host.Name(), "silent", state.Reason
		if it.level == munin.OK {
			vars["value"] = "back"
		}
	case state.ID.Graph != lead.Graph || state.ID.Host != lead.Host:
		vars["label"] = about.Title + " :: " + about.Label
	}
	return vars
}
