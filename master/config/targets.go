package config

import (
	"bytes"
	"cmp"
	"net"
	"path/filepath"
	"strings"

	"corbie/munin"
)

// addTargets reads the section file_sd: files of targets in Prometheus' form.
func (inv *inventory) addTargets(s *sections) {
	r := s.reader
	for _, item := range r.items(s.fileSD, "file_sd", "files") {
		base := rawHost{defaults: defaults{at: r.at(item.Line)}}
		var files *node
		keys := base.keys(r, item.where)
		keys["files"] = func(n *node) { files = n }
		keys["group"] = func(n *node) { base.group = r.groupPath(n.Line, r.text(n)) }
		keys["roles"] = func(n *node) { base.roles = r.tags(n) }
		r.mapping(item.node, item.where, keys)
		if files == nil {
			r.problem(item.Line, "%s: files is missing; write files: [\"targets/*.json\"]", item.where)
			continue
		}
		for _, pattern := range r.texts(files) {
			if r.folder != nil {
				path := r.folder.path(pattern)
				inv.conf.watched = append(inv.conf.watched, path)
				inv.conf.seen += fingerprint(path) // Before they are read: what changes meanwhile is read again.
			}
			for _, sub := range r.files(files.Line, "file_sd", pattern) {
				inv.targetFile(sub, &base, r.at(files.Line))
			}
		}
	}
}

// targetFile reads one file of targets, YAML or JSON.
func (inv *inventory) targetFile(r *reader, base *rawHost, at Place) {
	text, err := readFile(r.name)
	if err != nil {
		inv.problemAt(at, "file_sd: %v", err)
		return
	}
	if filepath.Ext(r.name) == ".json" {
		text = bytes.ReplaceAll(text, []byte("\t"), []byte(" ")) // YAML takes JSON, but for its tabs.
	}
	root, ok := r.document(text)
	if !ok {
		return
	}
	for _, item := range r.list(root, "want a list of {targets: […], labels: {…}}, found "+describe(root)) {
		var targets []*node
		labels := make(map[string]*node)
		r.mapping(item, "the targets", map[string]func(*node){
			"targets": func(n *node) { targets = r.list(n, "targets: want a list of addresses") },
			"labels": func(n *node) {
				for _, e := range r.entries(n, "labels") {
					labels[e.key.Value] = e.value
				}
			},
		})
		if name := labels["host"]; name != nil && len(targets) > 1 {
			r.problem(name.Line, "labels: host names one target only, and there are more in this list")
			continue
		}
		for _, target := range targets {
			if raw, ok := r.target(target, base, labels); ok {
				inv.add(&raw)
			}
		}
	}
}

// target makes a host of one address. The labels group, host and node_name say what they say of a host; others become
// tags, "name=value", but those that begin with two underscores.
func (r *reader) target(n *node, base *rawHost, labels map[string]*node) (rawHost, bool) {
	before := len(r.problems)
	h := *base
	h.at = r.at(n.Line)
	h.tags = append([]string(nil), base.tags...)
	text := r.text(n)
	address, err := parseAddress(text)
	if err != nil && text != "" {
		r.problem(n.Line, "targets: %v", err)
	}
	h.address = address
	for name, value := range labels {
		switch {
		case strings.HasPrefix(name, "__"):
		case name == "group":
			h.group = r.groupPath(value.Line, r.text(value))
		case name == "node_name":
			h.nodeName = r.nodeName(value)
		case name == "host":
			h.name = r.text(value)
		default:
			if tag := r.text(value); tag != "" {
				h.tags = append(h.tags, munin.CleanText(name+"="+tag))
			}
		}
	}
	host, _, _ := net.SplitHostPort(address)
	h.name = cmp.Or(h.name, strings.NewReplacer(":", "-", "%", "-").Replace(host))
	if err := checkHostName(h.name); err != nil {
		r.problem(n.Line, "targets: %v", err)
	}
	return h, len(r.problems) == before
}
