package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"corbie/munin/wire"
)

// encryption is what one level of the configuration says about TLS. Empty texts say nothing.
type encryption struct {
	at                                Place // where it says so
	mode, key, certificate, ca, match string
	verify, depth                     string
}

// fields are the settings by their names in the file.
func (e *encryption) fields() map[string]*string {
	return map[string]*string{
		"mode": &e.mode, "key": &e.key, "certificate": &e.certificate, "ca": &e.ca, "verify": &e.verify,
		"verify_depth": &e.depth, "match": &e.match,
	}
}

// tlsNotes are the names under which the settings of the top level are remembered.
func tlsNotes() []string {
	var names []string
	for name := range new(encryption).fields() {
		names = append(names, "tls."+name)
	}
	return names
}

// fill takes what is not said from elsewhere. Key and certificate belong together.
func (e *encryption) fill(from *encryption, note func(key, value string)) {
	pair := e.key != "" || e.certificate != ""
	mine, theirs := e.fields(), from.fields()
	for _, name := range slices.Sorted(maps.Keys(mine)) {
		to, value := mine[name], *theirs[name]
		if *to != "" || value == "" || pair && (name == "key" || name == "certificate") {
			continue
		}
		*to = value
		note("tls."+name, value)
	}
}

// tls reads "tls: MODE" or "tls: {mode: …, …}".
func (r *reader) tls(n *node, where string, e *encryption) {
	e.at = r.at(n.Line)
	mode := func(n *node) {
		value := r.text(n)
		if value == "" {
			return
		}
		if _, err := wire.ParseTLSMode(value); err != nil {
			r.problem(n.Line, "%s: %v", where, err)
			return
		}
		e.mode = value
	}
	if n.Kind == yaml.ScalarNode {
		mode(n)
		return
	}
	file := func(to *string) func(*node) {
		return func(n *node) {
			if *to = r.text(n); *to != "" && r.folder != nil {
				*to = r.folder.path(*to)
			}
		}
	}
	r.mapping(n, where, map[string]func(*node){
		"mode": mode, "key": file(&e.key), "certificate": file(&e.certificate), "ca": file(&e.ca),
		"verify": func(n *node) {
			if e.verify = "no"; r.yes(n) {
				e.verify = "yes"
			}
		},
		"verify_depth": func(n *node) { e.depth = strconv.Itoa(r.count(n, 0, maxTLSDepth)) },
		"match": func(n *node) {
			if e.match = r.text(n); e.match != "" {
				if _, err := wire.TLSMatch(e.match); err != nil {
					r.problem(n.Line, "%s.match: %v", where, err)
				}
			}
		},
	})
}

// settings are what the texts mean. They are valid, as they were tried when they were read.
func (e *encryption) settings() wire.TLSSettings {
	mode, _ := wire.ParseTLSMode(e.mode)
	depth, err := strconv.Atoi(e.depth)
	if err != nil {
		depth = wire.DefaultTLSDepth
	}
	return wire.TLSSettings{
		Mode: mode, Key: cmp.Or(e.key, e.certificate), Certificate: cmp.Or(e.certificate, e.key), CA: e.ca,
		Verify: e.verify == "yes" || e.verify == "" && e.ca != "", Depth: depth, Match: e.match,
	}
}

// encrypt makes what the sessions with a host need; hosts with the same settings share it. Nil is no encryption.
func (inv *inventory) encrypt(h *rawHost) *wire.TLS {
	if h.address == "" {
		return nil
	}
	return inv.encryption(&h.tls, func(format string, args ...any) {
		text := "tls of " + h.name + ": " + fmt.Sprintf(format, args...)
		if h.base == nil {
			inv.problemAt(h.at, "%s", text)
			return
		}
		// A host of a munin.conf stays, as do all others. Its sessions are not held in the clear: they fail, and say why.
		r := &reader{findings: inv.findings, name: h.at.File, flags: inv.conf.flags}
		r.reject(h.at, "%s", text)
	}, func(text string) { inv.warnAt(h.at, "tls of %s: %s", h.name, text) })
}

// encryption finds what was made of the same settings before, or makes it and looks at its files.
func (inv *inventory) encryption(e *encryption, problem func(format string, args ...any), warn func(text string)) *wire.TLS {
	settings := e.settings()
	if one, ok := inv.tls[settings]; ok {
		return one
	}
	if settings.Mode == wire.TLSDisabled {
		if e.mode == "" && (settings.Key != "" || settings.CA != "") {
			warn("files are named, but no mode: nothing is encrypted; write mode: enabled, or paranoid")
		}
		inv.tls[settings] = nil
		return nil
	}
	one, err := wire.NewTLS(settings)
	if err != nil {
		problem("%v", err)
		return nil
	}
	inv.tls[settings] = one
	checks := settings.Verify || settings.Mode == wire.TLSParanoid
	if settings.Match != "" && !checks {
		warn("match without verify proves nothing: everybody can make a certificate with that name")
	}
	if !inv.readsFiles {
		return one
	}
	files := one.Check()
	if files.Key != nil && (settings.Key != "" || settings.Mode == wire.TLSParanoid) {
		problem("%v%s", files.Key, fileAdvice(files.Key, "key", settings.Mode))
	}
	if files.CA != nil {
		problem("%v%s", files.CA, fileAdvice(files.CA, "ca", settings.Mode))
	}
	return one
}

// fileAdvice says what to do about a file that is of no use.
func fileAdvice(err error, key string, mode wire.TLSMode) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "; let the user that the master runs as read it"
	case errors.Is(err, fs.ErrNotExist):
		return "; put it there, or correct its name"
	case strings.HasPrefix(err.Error(), "no "):
		return "; set " + key + " beside mode: " + mode.String()
	}
	return ""
}

// encryption is what a munin.conf says of a host's encryption, or else of all.
func (m *muninConf) encryption(r *reader, h *muninHost) encryption {
	find := func(key string) (a attr, ok bool) {
		if a, ok = h.own[key]; !ok {
			a, ok = m.global[key]
		}
		return a, ok
	}
	value := func(key, otherwise string) string {
		if a, ok := find(key); ok {
			return a.value
		}
		return otherwise
	}
	said, ok := find("tls")
	if !ok {
		return encryption{}
	}
	mode, err := wire.ParseTLSMode(said.value)
	if err != nil {
		r.rejectLine(said, "tls %v", err)
		return encryption{mode: wire.TLSEnabled.String()} // It was to be encrypted, and must not be sent in the clear.
	}
	folder := filepath.Dir(m.name)
	pem := value("tls_pem", filepath.Join(folder, "munin.pem"))
	e := encryption{
		mode: mode.String(), key: value("tls_private_key", pem), certificate: value("tls_certificate", pem),
		ca: value("tls_ca_certificate", filepath.Join(folder, "cacert.pem")), match: value("tls_match", ""),
		verify: "no", depth: value("tls_verify_depth", ""),
	}
	if m.yes(h, "tls_verify_certificate", false) {
		e.verify = "yes"
	}
	if a, ok := find("tls_verify_depth"); ok && !isCount(a.value, maxTLSDepth) {
		r.rejectLine(a, "tls_verify_depth %q: want a number from 0 to %d", short(a.value), maxTLSDepth)
		e.depth = "0"
	}
	if _, err := wire.TLSMatch(e.match); err != nil {
		a, _ := find("tls_match")
		r.rejectLine(a, "tls_match %v; no certificate of the host %s will be accepted", err, h.name)
		e.match = matchesNothing
	}
	if _, err := os.Stat(e.key); os.IsNotExist(err) && mode != wire.TLSParanoid {
		e.key, e.certificate = "", "" // Munin goes on without as well.
	}
	return e
}

// matchesNothing stands for a tls_match that cannot be understood.
const matchesNothing = `[^\s\S]`

// maxTLSDepth is more certificates than any chain has.
const maxTLSDepth = 100

func isCount(text string, most int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 0 && n <= most
}
