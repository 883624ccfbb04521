package ui

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"corbie/munin"
	"corbie/ui/access"
	"corbie/ui/chart"
)

// maxRows is how many rows a CSV or JSON answer has at most.
const maxRows = 20_000

// splitFormat takes the ending that asks for a form off a graph's name.
func splitFormat(name string) (graph, format string) {
	switch ext := path.Ext(name); ext {
	case ".svg", ".png", ".pngx2", ".csv", ".json", ".html":
		return strings.TrimSuffix(name, ext), ext
	}
	return name, ""
}

// graphOr answers for a graph in the form that its address ends with.
func (s *Server) graphOr(w http.ResponseWriter, r *http.Request) error {
	name, format := splitFormat(r.PathValue("graph"))
	switch format {
	case ".svg":
		return s.svg(w, r, name)
	case ".png":
		return s.png(w, r, name, 1)
	case ".pngx2":
		return s.png(w, r, name, 2)
	case ".csv":
		return s.csv(w, r, name)
	case ".json":
		if r.FormValue("live") != "" {
			return s.live(w, r, name)
		}
		return s.json(w, r, name)
	}
	return s.graph(w, r, name)
}

// plotLeft is the least room left of the plot of a bare picture, in pixels; the scripts of pages know it too.
const plotLeft = 44

// picture reads size and theme of a request.
func picture(r *http.Request, width, height int) (chart.Picture, error) {
	p := chart.Picture{Width: width, Height: height, Bare: r.FormValue("bare") != ""}
	if p.Bare {
		p.Left = plotLeft
	}
	read := func(name string, target *int, low, high int) error {
		text := r.FormValue(name)
		if text == "" {
			return nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < low || n > high {
			return &badRequestError{fmt.Errorf("%s=%q: want %d to %d pixels", name, clip(text, 20), low, high)}
		}
		*target = n
		return nil
	}
	if err := read("w", &p.Width, chart.MinWidth, chart.MaxWidth); err != nil {
		return p, err
	}
	if err := read("h", &p.Height, chart.MinHeight, chart.MaxHeight); err != nil {
		return p, err
	}
	switch theme := r.FormValue("theme"); theme {
	case "", "auto":
	case "light":
		p.Theme = chart.LightTheme
	case "dark":
		p.Theme = chart.DarkTheme
	default:
		return p, &badRequestError{fmt.Errorf("theme=%q: want auto, light or dark", clip(theme, 20))}
	}
	return p, nil
}

func (s *Server) svg(w http.ResponseWriter, r *http.Request, name string) error {
	p, err := picture(r, 640, 260)
	if err != nil {
		return err
	}
	v, err := s.view(r, name, p.Width-60)
	if err != nil {
		return err
	}
	v.ownSize(r, &p)
	w.Header().Set("Content-Security-Policy", picturePolicy)
	return s.send(w, r, v, "image/svg+xml", v.model.SVG(p))
}

// Picture is the graph of a host over its last day (less, while it is not known for long) as a PNG of 640 × 260 pixels (or as
// the graph asks for) and a legend, in light colours, for whoever hands pictures on by other ways than the pages. It asks nobody who may see it.
func (s *Server) Picture(ctx context.Context, host munin.HostID, graph string) ([]byte, error) {
	ctx = access.With(ctx, access.Person{Role: munin.Viewer})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("draw %s of %s: %w", graph, host, err)
	}
	r.SetPathValue("host", string(host))
	p := chart.Picture{Width: 640, Height: 260}
	v, err := s.view(r, graph, p.Width-60)
	if err != nil {
		return nil, err
	}
	v.ownSize(r, &p)
	body, err := s.painter.PNG(v.model, p)
	if err != nil {
		return nil, fmt.Errorf("draw %s of %s: %w", graph, host, err)
	}
	return body, nil
}

// png draws for whatever cannot show SVG; its letters and colours are those of the theme asked for, light by default.
func (s *Server) png(w http.ResponseWriter, r *http.Request, name string, scale int) error {
	p, err := picture(r, 640, 260)
	if err != nil {
		return err
	}
	p.Scale = scale
	v, err := s.view(r, name, p.Width-60)
	if err != nil {
		return err
	}
	v.ownSize(r, &p)
	body, err := s.painter.PNG(v.model, p)
	if err != nil {
		return fmt.Errorf("draw %s: %w", name, err)
	}
	return s.send(w, r, v, "image/png", body)
}

func (s *Server) live(w http.ResponseWriter, r *http.Request, name string) error {
	p, err := picture(r, bigWidth, bigHeight)
	if err != nil {
		return err
	}
	v, err := s.view(r, name, p.Width)
	if err != nil {
		return err
	}
	body, err := json.Marshal(v.model.Live(p))
	if err != nil {
		return fmt.Errorf("write the chart of %s: %w", name, err)
	}
	return s.send(w, r, v, "application/json", body)
}

// csv has a row for every step: its beginning and a column for every field. What is unknown is empty.
func (s *Server) csv(w http.ResponseWriter, r *http.Request, name string) error {
	v, err := s.view(r, name, 2000)
	if err != nil {
		return err
	}
	var out strings.Builder
	table := csv.NewWriter(&out)
	row := make([]string, len(v.model.Fields)+1)
	row[0] = "time"
	for i, f := range v.model.Fields {
		row[i+1] = f.Name
	}
	if err := table.Write(row); err != nil {
		return fmt.Errorf("write the table of %s: %w", name, err)
	}
	for n := range v.model.Buckets() {
		row[0] = v.model.Start.Add(time.Duration(n) * v.model.Step).In(v.fleet.now.Location()).Format(time.RFC3339)
		for i, f := range v.model.Fields {
			row[i+1] = ""
			if value := f.Values[n]; value == value { // not NaN
				row[i+1] = string(chart.AppendRounded(nil, value, 10))
			}
		}
		if err := table.Write(row); err != nil {
			return fmt.Errorf("write the table of %s: %w", name, err)
		}
	}
	table.Flush()
	w.Header().Set("Content-Disposition", `inline; filename="`+munin.SanitisePlugin(v.host.ID.Name()+"-"+name)+`.csv"`)
	return s.send(w, r, v, "text/csv; charset=utf-8", []byte(out.String()))
}

// document is a graph as JSON: value i of a column belongs to the time from start + i·step on.
type document struct {
	Host    string                  `json:"host"`
	Graph   string                  `json:"graph"`
	Title   string                  `json:"title"`
	Unit    string                  `json:"unit"`
	Base    int                     `json:"base"`
	From    time.Time               `json:"from"`
	To      time.Time               `json:"to"`
	Start   time.Time               `json:"start"`
	Step    float64                 `json:"step"` // seconds
	Fields  []documentField         `json:"fields"`
	Columns map[string]chart.Column `json:"columns"`
	Notes   []string                `json:"notes,omitempty"`
}

type documentField struct {
	Name     string           `json:"name"`
	Label    string           `json:"label"`
	Type     munin.FieldType  `json:"type"`
	Draw     string           `json:"draw"`
	Hidden   bool             `json:"hidden,omitempty"`
	Negative string           `json:"negative,omitempty"`
	CDEF     string           `json:"cdef,omitempty"`
	Info     string           `json:"info,omitempty"`
	Warning  string           `json:"warning,omitempty"`
	Critical string           `json:"critical,omitempty"`
	Now      *json.RawMessage `json:"now"`
	Min      *json.RawMessage `json:"min"`
	Average  *json.RawMessage `json:"average"`
	Max      *json.RawMessage `json:"max"`
	P95      *json.RawMessage `json:"p95"`
	Total    *json.RawMessage `json:"total"`
}

func (s *Server) json(w http.ResponseWriter, r *http.Request, name string) error {
	v, err := s.view(r, name, 2000)
	if err != nil {
		return err
	}
	m := v.model
	doc := document{
		Host: string(v.host.ID), Graph: v.graph.Name, Title: m.Title, Unit: m.Unit, Base: m.Base,
		From: v.span.From, To: v.span.To, Start: m.Start.In(v.fleet.now.Location()), Step: m.Step.Seconds(),
		Columns: make(map[string]chart.Column), Notes: m.Notes, Fields: []documentField{},
	}
	for i := range v.graph.Fields {
		f, figures := &v.graph.Fields[i], m.Fields[i]
		doc.Columns[f.Name] = figures.Values
		doc.Fields = append(doc.Fields, documentField{
			Name: f.Name, Label: f.Label, Type: f.Type, Draw: f.Draw.String(), Hidden: !figures.Drawn, Negative: f.Negative,
			CDEF: f.CDEF, Info: f.Info, Warning: f.Warning.String(), Critical: f.Critical.String(),
			Now: number(figures.Figures.Current), Min: number(figures.Figures.Min),
			Average: number(figures.Figures.Average), Max: number(figures.Figures.Max),
			P95: number(figures.Figures.P95), Total: number(figures.Figures.Total),
		})
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write the values of %s: %w", name, err)
	}
	return s.send(w, r, v, "application/json", body)
}

// number is a value in JSON, nil (null) when it is unknown.
func number(v float64) *json.RawMessage {
	if v-v != 0 { // NaN or infinite
		return nil
	}
	raw := json.RawMessage(chart.AppendRounded(nil, v, 10))
	return &raw
}

// send writes a picture or its values, with a tag by which a browser can ask whether they changed.
func (s *Server) send(w http.ResponseWriter, r *http.Request, v *view, kind string, body []byte) error {
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:9]) + `"`
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("ETag", tag)
	age := max(v.host.Interval/2, 5*time.Second)
	if v.span.To.Before(v.fleet.now.Add(-24 * time.Hour)) {
		age = time.Hour // old values rarely change: a node may still send what it kept
	}
	h.Set("Cache-Control", "private, max-age="+strconv.Itoa(int(age/time.Second)))
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(known), "W/") == tag {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	writeBody(w, r, body)
	return nil
}
