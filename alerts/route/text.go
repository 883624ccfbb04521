package route

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"corbie/munin"
)

// maxItems is how many problems one mail describes; the rest is counted.
const maxItems = 50

// lead is the item that stands for the message: the worst that is new, else the first recovery.
func (m *message) lead() item {
	all := m.plan.changed
	if len(all) == 0 {
		all = m.plan.open
	}
	if len(all) == 0 {
		return item{}
	}
	return slices.MaxFunc(all, func(a, b item) int { return cmp.Compare(a.level, b.level) })
}

// subject is one line: "CRITICAL www1 :: Disk usage :: / is 97.2 (over 95)".
func (m *message) subject() string {
	lead := m.lead()
	id := lead.notice.State.ID
	word := strings.ToUpper(lead.level.String())
	same := m.plan.changed
	if len(same) == 0 {
		same, word = m.plan.open, "STILL "+word
	}
	host := id.Host.Name()
	if id.Graph == "" {
		return clean(word+" "+host+" "+headline(lead.notice), 200)
	}
	what, count := "recovered", len(same)
	if lead.level != munin.OK {
		what, count = "problems", 0
		for _, it := range same {
			if it.level != munin.OK {
				count++
			}
		}
	}
	if count == 1 {
		return clean(word+" "+host+" :: "+headline(lead.notice), 200)
	}
	return clean(fmt.Sprintf("%s %s :: %s :: %d %s", word, host, lead.notice.Graph.Title, count, what), 200)
}

// letterData is what the templates of a mail show. All of its texts are data from elsewhere.
type letterData struct {
	Subject  string
	Changed  []letterItem
	Open     []letterItem
	More     int // items that were left out
	Receiver string
}

type letterItem struct {
	Level, Line, Reason           string
	Since, Ended, Host, Group     string
	Graph, Title, Label, Unit     string
	Warning, Critical, Was        string
	Info, ExtInfo, Category, Link string
	Picture                       template.URL
}

func (m *message) letterItem(it item) letterItem {
	n := it.notice
	s := n.State
	out := letterItem{
		Level: strings.ToUpper(it.level.String()), Line: headline(n), Reason: s.Reason, Since: stamp(s.OpenSince),
		Host: s.ID.Host.Name(), Group: s.ID.Host.Group(), Graph: s.ID.Graph, Title: n.Graph.Title, Label: n.Graph.Label,
		Unit: n.Graph.Unit, Warning: n.Graph.Warning.String(), Critical: n.Graph.Critical.String(),
		Info: n.Graph.FieldInfo, ExtInfo: n.Graph.ExtInfo, Category: n.Graph.Category, Link: link(m.base, s.ID),
		Picture: m.pictureOf(s.ID),
	}
	if out.Info == "" {
		out.Info = n.Graph.Info
	}
	if it.from != munin.OK && it.from != it.level {
		out.Was = it.from.String()
	}
	if it.level == munin.OK {
		out.Ended = stamp(s.Changed) + ", after " + s.Changed.Sub(s.OpenSince).Round(time.Second).String()
	}
	return out
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04:05 MST")
}

// bodies are the two forms of the mail.
func (m *message) bodies() (text, html string, err error) {
	data := letterData{Subject: m.subject(), Receiver: m.receiver}
	for i, it := range slices.Concat(m.plan.changed, m.plan.open) {
		switch {
		case i >= maxItems:
			data.More++
		case i < len(m.plan.changed):
			data.Changed = append(data.Changed, m.letterItem(it))
		default:
			data.Open = append(data.Open, m.letterItem(it))
		}
	}
	var b strings.Builder
	tmpl, err := template.New("mail").Parse(htmlLetter)
	if err != nil {
		return "", "", err
	}
	if err := tmpl.Execute(&b, data); err != nil {
		return "", "", err
	}
	return plainLetter(data), b.String(), nil
}

func plainLetter(data letterData) string {
	var b strings.Builder
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "  %-10s %s\n", name+":", value)
		}
	}
	for _, it := range data.Changed {
		fmt.Fprintf(&b, "%s: %s\n\n", it.Level, it.Line)
		row("Why", it.Reason)
		row("Since", it.Since)
		row("Ended", it.Ended)
		row("Before", it.Was)
		row("Host", it.Host)
		row("Group", it.Group)
		if it.Graph != "" {
			row("Graph", it.Title+" ("+it.Graph+")")
			row("Field", it.Label)
		}
		row("Unit", it.Unit)
		row("Warning", it.Warning)
		row("Critical", it.Critical)
		row("About", it.Info)
		row("Note", it.ExtInfo)
		row("Page", it.Link)
		b.WriteByte('\n')
	}
	if len(data.Open) > 0 {
		b.WriteString("Still open:\n\n")
		for _, it := range data.Open {
			fmt.Fprintf(&b, "  %s: %s, since %s\n", it.Level, it.Line, it.Since)
		}
		b.WriteByte('\n')
	}
	if data.More > 0 {
		fmt.Fprintf(&b, "and %d more.\n\n", data.More)
	}
	fmt.Fprintf(&b, "-- \nCorbie, to %s\n", data.Receiver)
	return b.String()
}

const htmlLetter = `<!DOCTYPE html>
<html><head><meta charset="utf-8"><title>{{.Subject}}</title></head>
<body style="font-family:sans-serif;color:#222">
{{range .Changed}}<h2 style="font-size:1.1em">{{.Level}}: {{.Line}}</h2>
<table cellpadding="2">
{{with .Reason}}<tr><th align="left">Why</th><td>{{.}}</td></tr>
{{end}}{{with .Since}}<tr><th align="left">Since</th><td>{{.}}</td></tr>
{{end}}{{with .Ended}}<tr><th align="left">Ended</th><td>{{.}}</td></tr>
{{end}}{{with .Was}}<tr><th align="left">Before</th><td>{{.}}</td></tr>
{{end}}<tr><th align="left">Host</th><td>{{.Host}}{{with .Group}} ({{.}}){{end}}</td></tr>
{{if .Graph}}<tr><th align="left">Graph</th><td>{{.Title}} ({{.Graph}})</td></tr>
<tr><th align="left">Field</th><td>{{.Label}}</td></tr>
{{end}}{{with .Unit}}<tr><th align="left">Unit</th><td>{{.}}</td></tr>
{{end}}{{with .Warning}}<tr><th align="left">Warning</th><td>{{.}}</td></tr>
{{end}}{{with .Critical}}<tr><th align="left">Critical</th><td>{{.}}</td></tr>
{{end}}{{with .Info}}<tr><th align="left">About</th><td>{{.}}</td></tr>
{{end}}{{with .ExtInfo}}<tr><th align="left">Note</th><td>{{.}}</td></tr>
{{end}}</table>
{{if .Picture}}<p>{{template "picture" .}}</p>
{{end}}{{with .Link}}<p><a href="{{.}}">{{.}}</a></p>
{{end}}{{end}}{{if .Open}}<p>Still open:</p>
<ul>{{range .Open}}<li>{{.Level}}: {{.Line}}, since {{.Since}}{{if .Picture}}<br>{{template "picture" .}}{{end}}</li>
{{end}}</ul>
{{end}}{{if .More}}<p>and {{.More}} more.</p>
{{end}}<p style="color:#666">Corbie, to {{.Receiver}}</p>
</body></html>
{{define "picture"}}<img src="{{.Picture}}" alt="The graph {{.Title}} of {{.Host}}" style="max-width:100%">{{end}}`
