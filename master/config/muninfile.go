package config

import (
	"cmp"
	"net"
	"slices"
	"strings"
	"time"

	"corbie/master/config/muninconf"
	"corbie/munin"
)

// muninConf is what a munin.conf says of hosts, services and fields.
type muninConf struct {
	name     string
	global   map[string]attr
	groups   map[string]map[string]attr // by path: "web;eu"
	hosts    map[munin.HostID]*muninHost
	contacts map[string]map[string]attr
	virtual  map[munin.HostID][]munin.Graph // graphs that are not polled
}

// muninHost is what a munin.conf says of one host.
type muninHost struct {
	group, name string
	at          Place
	own         map[string]attr
	paths       []string                   // services and fields, in the order of the file
	services    map[string]map[string]attr // by path: "df", "df._dev_sda1"
}

func newMuninConf(name string) *muninConf {
	return &muninConf{
		name: name, global: make(map[string]attr), groups: make(map[string]map[string]attr),
		hosts: make(map[munin.HostID]*muninHost), contacts: make(map[string]map[string]attr),
		virtual: make(map[munin.HostID][]munin.Graph),
	}
}

// readMunin reads the munin.conf that the flags or the file name; nil is none.
func (s *sections) readMunin(c *Config) *muninConf {
	r := s.reader
	name, at := r.flags.MuninConf, Place{File: r.flags.MuninConf}
	switch {
	case name != "":
	case s.muninConf == nil:
		return nil
	default:
		name, at = r.text(s.muninConf), r.at(s.muninConf.Line)
		if r.folder != nil && name != "" {
			name = r.folder.path(name)
		}
	}
	if name == "" || r.folder == nil {
		return nil
	}
	text, err := muninconf.Load(name)
	if err != nil {
		r.problemAt(at, "%v", err)
		return nil
	}
	m := newMuninConf(name)
	for _, p := range text.Problems {
		r.reject(p.At, "%s", p.Text)
	}
	for _, p := range text.Warnings {
		r.warnAt(p.At, "%s", p.Text)
	}
	for i := range text.Settings {
		m.take(r, &text.Settings[i])
	}
	m.noEffect(r, text.Settings)
	c.munin = m
	return m
}

// reject notes a line of a munin.conf that is left out: a problem, unless that is tolerated.
func (r *reader) reject(at Place, format string, args ...any) {
	if !r.flags.Tolerant {
		r.problemAt(at, format, args...)
		return
	}
	f := &findings{}
	f.problemAt(at, format, args...)
	r.rejected = append(r.rejected, f.problems[0].String())
}

// take sorts one setting in. A value that makes no sense is rejected.
func (m *muninConf) take(r *reader, s *muninconf.Setting) {
	a := attr{name: s.Key, value: s.Value, at: s.At}
	if err := tryAttr(s); err != nil {
		r.reject(s.At, "%v", err)
		return
	}
	switch {
	case s.Host != "":
		h := m.host(s)
		if len(s.Path) == 0 {
			h.own[s.Key] = a
			return
		}
		path := strings.Join(s.Path, ".")
		if h.services[path] == nil {
			h.services[path] = make(map[string]attr)
			h.paths = append(h.paths, path)
		}
		h.services[path][s.Key] = a
	case s.Group == "" && len(s.Path) == 2 && s.Path[0] == "contact":
		put(m.contacts, s.Path[1], a)
	case len(s.Path) > 0:
		r.reject(s.At, "%s.%s belongs to no host; write it in the section of the host, or as group;host:%s.%s",
			strings.Join(s.Path, "."), s.Key, strings.Join(s.Path, "."), s.Key)
	case s.Group == "":
		m.global[s.Key] = a
	default:
		put(m.groups, s.Group, a)
	}
}

func put(into map[string]map[string]attr, key string, a attr) {
	if into[key] == nil {
		into[key] = make(map[string]attr)
	}
	into[key][a.name] = a
}

func (m *muninConf) host(s *muninconf.Setting) *muninHost {
	id := munin.NewHostID(s.Group, s.Host)
	h := m.hosts[id]
	if h == nil {
		h = &muninHost{group: s.Group, name: s.Host, at: s.At, own: make(map[string]attr), services: make(map[string]map[string]attr)}
		m.hosts[id] = h
	}
	return h
}

// tryAttr tries a service's or field's attribute, so that nothing can fail later.
func tryAttr(s *muninconf.Setting) error {
	var g munin.Graph
	var f munin.Field
	if s.Key == "graph" && (s.Value == "on-demand" || len(s.Path) < 2) || isGraphAttr(s.Key) || s.Key == "update_rate" {
		return g.Set(s.Key, s.Value)
	}
	return f.Set(s.Key, s.Value)
}

// isGraphAttr says whether a keyword can only be meant for a service.
func isGraphAttr(key string) bool { return strings.HasPrefix(key, "graph_") && !isGlobal(key) }

func isGlobal(key string) bool {
	return slices.Contains([]string{"graph_strategy", "graph_data_size"}, key)
}

// noEffect says once which keywords do nothing here.
func (m *muninConf) noEffect(r *reader, settings []muninconf.Setting) {
	lines := make(map[string]Place)
	for i := range settings {
		s := &settings[i]
		if s.Key != "contacts" && slices.Contains(strings.Fields(withoutEffect), s.Key) {
			if _, before := lines[s.Key]; !before {
				lines[s.Key] = s.At
			}
		}
	}
	names := make([]string, 0, len(lines))
	for name := range lines {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > 0 {
		r.warnAt(Place{File: m.name}, "these keywords do nothing in Corbie: %s", strings.Join(names, ", "))
	}
}

// withoutEffect are keywords about files, programs and pages that Munin has and Corbie has not.
const withoutEffect = `carbon_port carbon_prefix carbon_server category_order cdef_name cgitmpdir cgiurl cgiurl_graph compare
create_args db_journal_mode db_synchronous_mode dbdir dbdriver dbpasswd dburl dbuser domain_order drawstyle dropdownlimit fetch_data
filename fork graph_data_size graph_strategy graphable group_order htaccess html_dynamic_images html_rename html_strategy htmldir
local_address logdir max_cgi_graph_jobs max_graph_jobs max_html_jobs max_processes max_size_x max_size_y munin_cgi_graph_jobs nagios
ncsa ncsa_config ncsa_server node_order notify_alias nsca nsca_config nsca_server onlynullcdef palette pipe pipe_command process
realname realservname rrdcached_socket rundir service_order ssh_command ssh_options staticdir timeout_fetch_all_nodes tmpldir
update_priority use_default_name version worker_start_delay num_messages num_unknowns state ok warn unknown ignore_unknown`

// addMunin adds the hosts and contacts of a munin.conf.
func (inv *inventory) addMunin(m *muninConf) {
	seconds := func(key string) time.Duration {
		d, err := time.ParseDuration(m.global[key].value + "s")
		if err != nil || d < 10*time.Millisecond || d > time.Hour {
			return 0
		}
		return d
	}
	global := defaults{where: m.name, places: map[string]string{
		"timeouts.dial": m.global["timeout"].at.String(), "timeouts.host": m.global["timeout_fetch_one_node"].at.String(),
	}}
	global.timeouts.Dial = min(seconds("timeout"), 10*time.Second) // Munin's default is 180 s, but a node answers at once or never.
	global.timeouts.Host = seconds("timeout_fetch_one_node")
	hosts := make([]*muninHost, 0, len(m.hosts))
	for _, h := range m.hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b *muninHost) int {
		return cmp.Or(cmp.Compare(a.at.File, b.at.File), cmp.Compare(a.at.Line, b.at.Line))
	})
	for _, h := range hosts {
		inv.addMuninHost(m, h, &global)
	}
	inv.addContacts(m)
}

func (inv *inventory) addMuninHost(m *muninConf, h *muninHost, global *defaults) {
	id := munin.NewHostID(h.group, h.name)
	r := &reader{findings: inv.findings, name: h.at.File, flags: inv.conf.flags}
	if before, twice := inv.hosts[id]; twice {
		inv.warnAt(h.at, "the host %s is in %s too: polled as it says there; what is said here of its graphs and fields holds", id, before)
		return
	}
	raw := rawHost{name: h.name, group: h.group, defaults: defaults{at: h.at}}
	virtual := !m.yes(h, "update", true)
	switch {
	case m.yes(h, "use_default_node", false):
		raw.useDefault = true
	case m.says(h, "use_node_name"):
		raw.useNodeName = "no"
		if m.yes(h, "use_node_name", false) {
			raw.useNodeName = "yes"
		}
	}
	for _, path := range h.paths {
		if a, ok := h.services[path]["update"]; ok && !strings.Contains(path, ".") {
			if yes, err := munin.ParseBool(a.value); err == nil && !yes {
				raw.plugins = append(raw.plugins, PluginRule{Pattern: path, Every: -1, At: h.at})
			}
		}
	}
	if !virtual && !inv.muninAddress(r, h, &raw) {
		return
	}
	base := *global
	base.tls = m.encryption(r, h)
	raw.base = &base
	inv.add(&raw)
	if graphs := m.virtualGraphs(inv.findings, h, virtual); len(graphs) > 0 {
		m.virtual[id] = graphs
	}
}

// muninAddress completes an address with the port.
func (inv *inventory) muninAddress(r *reader, h *muninHost, raw *rawHost) bool {
	said, ok := h.own["address"]
	if !ok {
		r.reject(h.at, "the host %s has no address; write one, or \"update no\" if it only shows what other hosts have", munin.NewHostID(h.group, h.name))
		return false
	}
	address, err := parseAddress(said.value)
	if err != nil {
		r.rejectLine(said, "%v", err)
		return false
	}
	port, ok := h.own["port"]
	if host, _, splits := net.SplitHostPort(address); ok && splits == nil && !strings.Contains(address, "://") {
		if !isPort(port.value, false) {
			r.rejectLine(port, "port %q: want a number from 1 to 65535", short(port.value))
			return false
		}
		address = net.JoinHostPort(host, port.value)
	}
	raw.address = address
	return true
}

// rejectLine is reject for the line that an attribute comes from.
func (r *reader) rejectLine(a attr, format string, args ...any) {
	r.reject(a.at, format, args...)
}

// says finds what is said of a host: by itself, by the top level. Groups are not asked, as in Munin.
func (m *muninConf) says(h *muninHost, key string) bool {
	_, own := h.own[key]
	_, global := m.global[key]
	return own || global
}

func (m *muninConf) yes(h *muninHost, key string, otherwise bool) bool {
	a, ok := h.own[key]
	if !ok {
		if a, ok = m.global[key]; !ok {
			return otherwise
		}
	}
	yes, err := munin.ParseBool(a.value)
	return err == nil && yes
}
