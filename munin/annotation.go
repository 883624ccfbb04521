package munin

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// AnnotationKind says what an annotation is about.
type AnnotationKind string

// The kinds. People write the first three; the master writes all of them.
const (
	Note        AnnotationKind = "note"
	Deploy      AnnotationKind = "deploy"
	Maintenance AnnotationKind = "maintenance"
	Reboot      AnnotationKind = "reboot"  // an uptime that fell
	Configured  AnnotationKind = "config"  // the master read its configuration anew
	Levels      AnnotationKind = "levels"  // the levels of a field were changed
	Transition  AnnotationKind = "problem" // a problem began, changed its level or ended
)

// AnnotationKinds lists all kinds, those that people write first.
func AnnotationKinds() []AnnotationKind {
	return []AnnotationKind{Note, Deploy, Maintenance, Reboot, Configured, Levels, Transition}
}

// Limits of an annotation, in bytes.
const (
	MaxAnnotationText = 500
	maxAnnotationName = 1000
)

// Annotation is something that happened at an instant or over a time, and may be why curves look different since.
type Annotation struct {
	ID   int64          `json:"id,omitempty"` // given by the catalogue
	Kind AnnotationKind `json:"kind"`
	From time.Time      `json:"from"`
	To   time.Time      `json:"to,omitzero"` // zero: an instant
	Text string         `json:"text"`
	By   string         `json:"by,omitempty"` // who wrote it; empty: the master
	// Where is a host or a group with all that is in it; empty means everything. Graph and Field narrow it down
	// to one of a host's.
	Where HostID `json:"where,omitempty"`
	Graph string `json:"graph,omitempty"`
	Field string `json:"field,omitempty"`
	Level Level  `json:"level,omitempty"` // of a Transition: the level from then on
}

// Touches says whether the annotation belongs on a picture of a graph of a host; an empty graph stands for all of the
// host's.
func (a *Annotation) Touches(host HostID, graph string) bool {
	if a.Where != "" && a.Where != host && !strings.HasPrefix(string(host), string(a.Where)+";") {
		return false
	}
	return a.Graph == "" || graph == "" || a.Graph == graph || strings.HasPrefix(a.Graph, graph+".")
}

// End is To, or From for an instant.
func (a *Annotation) End() time.Time {
	if a.To.IsZero() {
		return a.From
	}
	return a.To
}

// Tidy brings an annotation into the form in which it is stored, or says what is wrong with it.
func (a *Annotation) Tidy() error {
	a.Text = shorten(CleanText(strings.Join(strings.Fields(a.Text), " ")), MaxAnnotationText)
	a.By = shorten(strings.TrimSpace(CleanText(a.By)), 100)
	switch {
	case a.Text == "":
		return errors.New("an annotation needs a text: what happened?")
	case a.From.IsZero():
		return errors.New("an annotation needs a time")
	case !a.To.IsZero() && a.To.Before(a.From):
		return fmt.Errorf("an annotation ends before it begins: %s is before %s", a.To.Format(time.RFC3339), a.From.Format(time.RFC3339))
	case !isNameOf(string(a.Where)) || !isNameOf(a.Graph) || !isNameOf(a.Field):
		return errors.New("the name of a host, graph or field is too long or holds control characters")
	}
	if a.Kind == "" {
		a.Kind = Note
	}
	for _, kind := range AnnotationKinds() {
		if a.Kind == kind {
			return nil
		}
	}
	return fmt.Errorf("an annotation of the kind %q: want note, deploy or maintenance", excerpt(string(a.Kind)))
}

// isNameOf says whether a text, which may be empty, can be the name of a host, graph or field.
func isNameOf(text string) bool { return len(text) <= maxAnnotationName && CleanText(text) == text }

// shorten cuts a text after so many bytes, between two characters.
func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	cut := most - len("…")
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}

// Ack says that somebody takes care of a problem: it is shown apart, and its notice is not repeated.
type Ack struct {
	ID      SeriesID
	Since   time.Time // AlertState.OpenSince of the problem; the next one at the same place is another
	Level   Level     // of the problem when it was acknowledged
	At      time.Time
	Until   time.Time // zero: until the problem ends
	By      string
	Comment string
}

// Covers says whether a problem that a state tells of is acknowledged: it is the same problem, did not become worse, and
// the time is not over.
func (a *Ack) Covers(s AlertState, now time.Time) bool {
	return a.ID == s.ID && s.Open != OK && s.Open <= a.Level && a.Since.Equal(s.OpenSince) && (a.Until.IsZero() || now.Before(a.Until))
}

// Tidy limits what people write.
func (a *Ack) Tidy() {
	a.By = shorten(strings.TrimSpace(CleanText(a.By)), 100)
	a.Comment = shorten(CleanText(strings.Join(strings.Fields(a.Comment), " ")), MaxAnnotationText)
}

// SavedView is a page that people put together: graphs of any hosts in an order, over a range.
type SavedView struct {
	Name  string      `json:"name"`           // stands in its address
	Title string      `json:"title"`          // for people
	From  string      `json:"from,omitempty"` // as ParseTime reads it; empty: the last day
	To    string      `json:"to,omitempty"`
	Items []SavedItem `json:"items"`
	By    string      `json:"by,omitempty"`
	At    time.Time   `json:"at"` // last change
}

// SavedItem is one graph of a view.
type SavedItem struct {
	Host  HostID `json:"host"`
	Graph string `json:"graph"`
}

// MaxSavedItems is how many graphs a view may have.
const MaxSavedItems = 200

// Tidy brings a view into the form in which it is stored, or says what is wrong with it.
func (v *SavedView) Tidy() error {
	v.Title = shorten(CleanText(strings.Join(strings.Fields(v.Title), " ")), 120)
	v.By = shorten(strings.TrimSpace(CleanText(v.By)), 100)
	if v.Title == "" {
		return errors.New("a view needs a title")
	}
	if v.Name == "" {
		v.Name = viewName(v.Title)
	}
	switch {
	case v.Name == "" || v.Name != viewName(v.Name):
		return fmt.Errorf("a view cannot be named %q: want letters, digits and dashes", excerpt(v.Name))
	case len(v.Items) == 0:
		return errors.New("a view needs at least one graph, as HOST/GRAPH")
	case len(v.Items) > MaxSavedItems:
		return fmt.Errorf("a view of %d graphs: the most are %d", len(v.Items), MaxSavedItems)
	}
	for _, item := range v.Items {
		if item.Host == "" || item.Graph == "" || !isNameOf(string(item.Host)) || !isNameOf(item.Graph) {
			return errors.New("every graph of a view is HOST/GRAPH")
		}
	}
	return nil
}

// viewName makes of a title what can stand in an address.
func viewName(title string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(title) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() >= 60 {
			break
		}
	}
	return strings.Trim(b.String(), "-")
}

// GraphEntry is one line of the index of all graphs: what is searched, compared and listed without reading whole
// descriptions.
type GraphEntry struct {
	Host     HostID
	Name     string
	Plugin   string
	Title    string
	Category string
	Hidden   bool
	LastSeen time.Time
	Fields   []FieldEntry
}

// FieldEntry is a field of a GraphEntry.
type FieldEntry struct {
	Name, Label string
}

// Entry is the line of a graph in the index.
func (g *Graph) Entry(host HostID) GraphEntry {
	e := GraphEntry{
		Host: host, Name: g.Name, Plugin: g.Plugin, Title: g.Title, Category: g.Category, Hidden: g.Hidden, LastSeen: g.LastSeen,
		Fields: make([]FieldEntry, 0, len(g.Fields)),
	}
	for i := range g.Fields {
		e.Fields = append(e.Fields, FieldEntry{g.Fields[i].Name, g.Fields[i].Label})
	}
	return e
}
