package ui

import (
	"cmp"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"corbie/munin"
)

// Hit is one thing that a search found.
type Hit struct {
	Kind   string `json:"kind"` // "host", "graph", "field", "group", "category", "tag", "view", "page"
	Text   string `json:"text"`
	Detail string `json:"detail,omitempty"`
	URL    string `json:"url"`
	score  int
}

// SearchPage is /search.
type SearchPage struct {
	Frame
	Hits []Hit
	More bool
}

// Limits of a search.
const (
	maxQuery = 200
	maxHits  = 100
	maxWords = 6
)

func (s *Server) search(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	query := clip(strings.TrimSpace(r.FormValue("q")), maxQuery)
	hits, err := s.find(r, f, query)
	if err != nil {
		return err
	}
	page := SearchPage{Frame: s.frame(r, f, "search", "Search", Link{Text: "Search", URL: "/search"}), Hits: hits}
	page.Query, page.Refresh = query, 0
	if query != "" {
		page.Title = query + " · Search"
	}
	page.More = len(hits) == maxHits
	return s.render(w, r, http.StatusOK, "search", page)
}

// searchAPI is the same as JSON, for the box at the top of pages: the best dozen.
func (s *Server) searchAPI(w http.ResponseWriter, r *http.Request) error {
	f, err := s.fleet(r)
	if err != nil {
		return err
	}
	hits, err := s.find(r, f, clip(strings.TrimSpace(r.FormValue("q")), maxQuery))
	if err != nil {
		return err
	}
	const most = 12
	if hits == nil {
		hits = []Hit{}
	}
	w.Header().Set("Cache-Control", "private, max-age=10")
	return sendJSON(w, r, http.StatusOK, hits[:min(len(hits), most)])
}

// find searches hosts, groups, tags, categories, graphs, fields and views. Every word has to fit somewhere.
func (s *Server) find(r *http.Request, f *fleet, query string) ([]Hit, error) {
	words := strings.Fields(strings.ReplaceAll(strings.ToLower(query), "/", " ")) // "web1/cpu" is two words
	if len(words) == 0 {
		return nil, nil
	}
	words = words[:min(len(words), maxWords)]
	l, err := s.index(r.Context(), f)
	if err != nil {
		return nil, err
	}
	q := &quest{words: words, fleet: f}
	s.findHosts(q)
	q.graphs(l)
	q.pairs(l)
	if s.opts.Views != nil {
		views, err := s.viewLinks(r.Context())
		if err != nil {
			return nil, err
		}
		for _, v := range views {
			q.add(Hit{Kind: "view", Text: v.Text, URL: v.URL}, fit(words, strings.ToLower(v.Text)))
		}
	}
	slices.SortStableFunc(q.hits, func(a, b Hit) int {
		return cmp.Or(-cmp.Compare(a.score, b.score), cmp.Compare(len(a.Text), len(b.Text)), cmp.Compare(a.Text, b.Text), cmp.Compare(a.URL, b.URL))
	})
	return q.hits[:min(len(q.hits), maxHits)], nil
}

// quest is a search under way.
type quest struct {
	words []string
	fleet *fleet
	hits  []Hit
}

// maxFound ends a search for something that is everywhere.
const maxFound = 5000

func (q *quest) add(h Hit, score int) {
	if score > 0 && len(q.hits) < maxFound {
		h.score = score
		q.hits = append(q.hits, h)
	}
}

func (s *Server) findHosts(q *quest) {
	f := q.fleet
	groups, tags := make(map[string]int), make(map[string]int)
	for _, list := range [][]HostRow{f.hosts, f.archived} {
		for i := range list {
			row := &list[i]
			for g := row.Group; g != ""; g = munin.HostID(g).Group() {
				groups[g]++
			}
			detail := groupWords(row.Group)
			if row.Level > munin.OK {
				detail = strings.TrimPrefix(detail+" · "+row.Word, " · ")
			}
			score := fit(q.words, strings.ToLower(row.Name))
			if score > 0 {
				score += 30
			} else {
				score = fit(q.words, strings.ToLower(string(row.ID)+" "+row.host.Address))
			}
			if fact := q.fact(s.facts(row.ID)); score == 0 && fact != "" {
				score, detail = 10, strings.TrimPrefix(detail+" · "+fact, " · ")
			}
			q.add(Hit{Kind: "host", Text: row.Name, Detail: detail, URL: row.URL}, score)
			if s.opts.Tags != nil {
				for _, tag := range s.opts.Tags(row.ID) {
					tags[tag]++
				}
			}
		}
	}
	for g, n := range groups {
		q.add(Hit{Kind: "group", Text: groupWords(g), Detail: plural(n, "host", "hosts"), URL: "/g/" + pathEscape(g)}, above(fit(q.words, strings.ToLower(g)), 20))
	}
	for tag, n := range tags {
		q.add(Hit{
			Kind: "tag", Text: tag, Detail: plural(n, "host", "hosts"), URL: "/inventory?" + url.Values{"tag": {tag}}.Encode(),
		}, above(fit(q.words, strings.ToLower(tag)), 10))
	}
}

// fact is the first fact that holds every word as it was written, such as a part of a serial number: "serial 5CG8371XQ2".
func (q *quest) fact(facts map[string]string) string {
	for _, name := range slices.Sorted(maps.Keys(facts)) {
		low := strings.ToLower(name + " " + facts[name])
		if !slices.ContainsFunc(q.words, func(w string) bool { return !strings.Contains(low, w) }) {
			return name + " " + clip(facts[name], 80)
		}
	}
	return ""
}

// above adds to a score that is not nothing.
func above(score, more int) int {
	if score > 0 {
		return score + more
	}
	return 0
}

func (q *quest) graphs(l *listing) {
	categories := make(map[string]bool)
	for _, k := range l.kinds {
		if k.hidden {
			continue
		}
		hosts := l.on(k)
		if len(hosts) == 0 {
			continue
		}
		if !categories[k.category] {
			categories[k.category] = true
			q.add(Hit{Kind: "category", Text: k.category, URL: "/c/" + pathEscape(k.category)}, above(fit(q.words, k.category), 15))
		}
		address := "/x/" + pathEscape(k.name)
		detail := k.name + " · on " + plural(len(hosts), "host", "hosts")
		if len(hosts) == 1 {
			address, detail = l.fleet.graphURL(hosts[0], k.name), k.name+" · "+hosts[0].Name()
		}
		score := fit(q.words, k.low)
		q.add(Hit{Kind: "graph", Text: clip(k.title, 120), Detail: detail, URL: address}, above(score, 10))
		if score > 0 {
			continue
		}
		for _, field := range k.fields {
			low := strings.ToLower(field.Label + " " + field.Name)
			if anyWord(q.words, low) {
				q.add(Hit{
					Kind: "field", Text: clip(cmp.Or(field.Label, field.Name), 120), Detail: clip(k.title, 80) + " · " + k.name + "." + field.Name,
					URL: fieldAddress(address, field.Name, len(hosts)),
				}, fit(q.words, low+" "+k.low))
			}
		}
	}
}

// fieldAddress leads to a field: over all hosts, or of the only one.
func fieldAddress(graph, field string, hosts int) string {
	if hosts == 1 {
		return graph + "#fields"
	}
	return graph + "?" + url.Values{"field": {field}}.Encode()
}

func anyWord(words []string, text string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// pairs finds graphs of hosts where one word is the host's: "web1 cpu".
func (q *quest) pairs(l *listing) {
	if len(q.words) < 2 {
		return
	}
	for n := range q.words {
		rest := slices.Concat(q.words[:n], q.words[n+1:])
		fitting := make(map[string]int)
		for _, k := range l.kinds {
			if score := fit(rest, k.low); score > 0 && !k.hidden {
				fitting[k.name] = score
			}
		}
		if len(fitting) == 0 {
			continue
		}
		hosts := make(map[munin.HostID]int)
		for i := range q.fleet.hosts {
			row := &q.fleet.hosts[i]
			if score := fit(q.words[n:n+1], strings.ToLower(row.Name)); score >= scoreInside {
				hosts[row.ID] = score
			}
		}
		for i := range l.entries {
			e := &l.entries[i]
			host, graph := hosts[e.Host], fitting[e.Name]
			if host > 0 && graph > 0 {
				q.add(Hit{
					Kind: "graph", Text: e.Host.Name() + " › " + clip(e.Title, 100), Detail: e.Name, URL: q.fleet.graphURL(e.Host, e.Name),
				}, (host+graph)/2+20)
			}
		}
	}
}

// How well one word fits a text.
const (
	scoreWhole    = 100 // it is the text
	scoreBegins   = 80
	scoreWord     = 60 // a word of the text begins with it
	scoreInside   = 40
	scoreScatters = 10 // its letters are there in this order
)

// fit says how well words fit a text in lower case; 0 when one of them does not fit at all.
func fit(words []string, text string) int {
	sum := 0
	for _, w := range words {
		score := fitWord(w, text)
		if score == 0 {
			return 0
		}
		sum += score
	}
	return sum / len(words)
}

func fitWord(w, text string) int {
	at := strings.Index(text, w)
	switch {
	case w == text:
		return scoreWhole
	case at == 0:
		return scoreBegins
	case at > 0:
		for at > 0 {
			if !isLetter(text[at-1]) {
				return scoreWord
			}
			next := strings.Index(text[at+1:], w)
			if next < 0 {
				break
			}
			at += 1 + next
		}
		return scoreInside
	case scattered(w, text):
		return scoreScatters
	}
	return 0
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// scattered says whether the letters of a word of three or more are in a text in this order and near each other: "dskut"
// finds "disk utilisation".
func scattered(w, text string) bool {
	if len(w) < 3 {
		return false
	}
	for begin := range text {
		if text[begin] != w[0] {
			continue
		}
		i := 0
		for j := begin; j < len(text) && j < begin+4*len(w); j++ {
			if text[j] == w[i] {
				if i++; i == len(w) {
					return true
				}
			}
		}
	}
	return false
}
