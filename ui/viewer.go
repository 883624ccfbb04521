package ui

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"corbie/ui/access"
)

// Cookies that hold how a reader wants pages to be. They say nothing of who it is.
const (
	zoneCookie  = "corbie_zone"
	themeCookie = "corbie_theme"
)

// viewer is how a reader wants pages to be.
type viewer struct {
	location *time.Location
	zone     string // as chosen; empty: the master's
	theme    string // "light", "dark"; empty: as the reader's system is
	person   access.Person
}

// viewer reads the cookies of a request; an address may name a zone and a theme too, and goes first.
func (s *Server) viewer(r *http.Request) viewer {
	v := viewer{location: s.opts.Location, person: access.Of(r.Context())}
	zone := r.FormValue("tz")
	if zone == "" {
		zone = cookie(r, zoneCookie)
	}
	if location, ok := loadZone(zone); ok {
		v.location, v.zone = location, zone
	}
	if theme := cookie(r, themeCookie); theme == "light" || theme == "dark" {
		v.theme = theme
	}
	return v
}

func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	value, err := url.QueryUnescape(c.Value)
	if err != nil {
		return ""
	}
	return value
}

// loadZone finds a time zone by its name in the database: "UTC", "Europe/Berlin".
func loadZone(name string) (*time.Location, bool) {
	if name == "" || len(name) > 64 || name == "Local" {
		return nil, false
	}
	location, err := time.LoadLocation(name)
	return location, err == nil
}

// key tells apart what readers with other wishes see.
func (v viewer) key() string {
	p := v.person
	return strings.Join(append([]string{v.location.String(), v.theme, p.Method, p.Name, p.Role.String()}, p.Groups...), "\x00")
}

// zoneName is what a browser calls a zone too.
func zoneName(location *time.Location) string {
	if name := location.String(); name != "Local" {
		return name
	}
	return ""
}

// Zone is one entry of the list of time zones.
type Zone struct {
	Name, Text string
	Current    bool
}

// zones are those to choose from: the master's, UTC, and the one that was chosen elsewhere.
func (s *Server) zones(v viewer) []Zone {
	all := []Zone{{Name: "", Text: "the master's time", Current: v.zone == ""}, {Name: "UTC", Text: "UTC", Current: v.zone == "UTC"}}
	if v.zone != "" && v.zone != "UTC" {
		all = append(all, Zone{Name: v.zone, Text: v.zone, Current: true})
	}
	return all
}

// preferences stores a reader's wishes in cookies and leads back to where they were said.
func (s *Server) preferences(w http.ResponseWriter, r *http.Request) error {
	set := func(name, value string) {
		c := &http.Cookie{
			Name: name, Value: url.QueryEscape(value), Path: "/", MaxAge: 400 * 24 * 3600, SameSite: http.SameSiteLaxMode, HttpOnly: true,
			Secure: r.TLS != nil,
		}
		if value == "" {
			c.MaxAge = -1
		}
		http.SetCookie(w, c)
	}
	if r.PostForm.Has("zone") {
		zone := r.PostForm.Get("zone")
		if _, ok := loadZone(zone); !ok {
			zone = ""
		}
		set(zoneCookie, zone)
	}
	if theme := r.PostForm.Get("theme"); r.PostForm.Has("theme") {
		if theme != "light" && theme != "dark" {
			theme = ""
		}
		set(themeCookie, theme)
	}
	http.Redirect(w, r, back(r, "/"), http.StatusSeeOther)
	return nil
}

// back is the address within these pages that a form names, or another.
func back(r *http.Request, other string) string {
	to := r.PostForm.Get("back")
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") || len(to) > 4000 {
		return other
	}
	if u, err := url.Parse(to); err != nil || u.Host != "" || u.Scheme != "" {
		return other
	}
	return to
}
