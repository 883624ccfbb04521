package muninconf

import (
	"fmt"
	"slices"
	"strings"
)

// keywords are the last words that a key may have: those of Munin 2.0, and those that its successor added.
func keywords() []string {
	return strings.Fields(`
address always_send carbon_port carbon_prefix carbon_server category_order cdef cdef_name cgitmpdir cgiurl cgiurl_graph colour
command compare contact contacts create_args critical db_journal_mode db_synchronous_mode dbdir dbdriver dbpasswd dburl dbuser
domain_order draw drawstyle dropdownlimit extinfo fetch_data filename fork graph graph_args graph_args_after graph_category
graph_data_size graph_future graph_height graph_info graph_noscale graph_order graph_period graph_printf graph_scale
graph_sources graph_strategy graph_sums graph_title graph_total graph_vlabel graph_vtitle graph_width graphable group_order
host_name htaccess html_dynamic_images html_rename html_strategy htmldir ignore_unknown includedir info label line
local_address logdir max max_cgi_graph_jobs max_graph_jobs max_html_jobs max_messages max_processes max_size_x max_size_y min
munin_cgi_graph_jobs nagios ncsa ncsa_config ncsa_server negative node_order notify_alias nsca nsca_config nsca_server
num_messages num_unknowns ok onlynullcdef palette pipe pipe_command port predict process realname realservname
rrdcached_socket rundir service_order skipdraw ssh_command ssh_options stack state staticdir sum text timeout
timeout_fetch_all_nodes timeout_fetch_one_node tls tls_ca_certificate tls_certificate tls_match tls_pem tls_private_key
tls_verify_certificate tls_verify_depth tmpldir trend type unknown unknown_limit update update_priority update_rate
use_default_name use_default_node use_node_name version warn warning worker_start_delay`)
}

// checkKey says why a last word is none of Munin's.
func checkKey(key string) error {
	all := keywords()
	if slices.Contains(all, key) {
		return nil
	}
	advice := ""
	switch key {
	case "color":
		advice = `: write "colour"`
	case "oldname", "multigraph":
		advice = ": only a plugin can say this"
	case "custom_palette":
		advice = `: write "colour" for each field`
	case "value":
		advice = ": values come from plugins"
	default:
		if near := nearest(key, all); near != "" {
			advice = fmt.Sprintf(": did you mean %q?", near)
		}
	}
	return fmt.Errorf("unknown keyword %q%s", short(key), advice)
}

// nearest is the keyword that differs from a word by one or two letters, or is empty.
func nearest(word string, from []string) string {
	best, least := "", max(1, min(2, len(word)/3))
	for _, key := range from {
		if d := distance(word, key, least); d <= least && (best == "" || d < distance(word, best, least)) {
			best = key
		}
	}
	return best
}

// distance counts the letters to be changed, added or taken away, up to one more than most.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := before
			if a[i-1] != b[j-1] {
				change++
			}
			before, row[j] = row[j], min(row[j]+1, row[j-1]+1, change)
		}
	}
	return row[len(b)]
}
