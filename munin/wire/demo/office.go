package demo

import "math"

func nfs(h *Host) []plugin {
	return []plugin{
		plain("nfsd", about("NFS Server", "requests / ${graph_period}", "nfs", "--base 1000 -l 0", "graph_total total"),
			derive("getattr", "getattr", h.follows("getattr", 4, 190), "draw AREA"),
			derive("lookup", "lookup", h.follows("lookup", 2, 80), "draw STACK"),
			derive("read", "read", h.follows("nfsread", 3, 120), "draw STACK"),
			derive("write", "write", h.follows("nfswrite", 1, 60), "draw STACK")),
		plain("samba", about("Samba status", "Number", "samba", "--base 1000 -l 0"),
			gauge("proc", "Running processes", whole(h.follows("smbproc", 6, 70))),
			gauge("users", "Connected users", whole(h.follows("smbusers", 1, 46))),
			gauge("lock", "Locked files", whole(h.follows("smblock", 4, 210)))),
	}
}

// raid is a software RAID; the failed disk is missing in it.
func raid(level string) service {
	return func(h *Host) []plugin {
		members := float64(len(h.spec.disks))
		return []plugin{plain("raid", about("Linux software RAID", "%", "disk", "--base 1000 -l 0 -u 100", "graph_scale no"),
			gauge("md0", "md0 ("+level+")", func(m *moment) float64 {
				if h.spec.failedDisk != "" && m.ago <= h.spec.failed {
					return math.Round((members - 1) / members * 100)
				}
				return 100
			}, "critical 98:", "info Share of the members that work"))}
	}
}

func backups(h *Host) []plugin {
	age := func(m *moment) float64 {
		ended := int64((h.spec.nightAt + h.spec.nightFor) * hour)
		local := m.t + h.fleet.zone - ended
		return math.Round(float64(local%day)/360) / 10
	}
	return []plugin{
		plain("backup_age", about("Age of the last backup", "hours", "backup", "--base 1000 -l 0", "graph_scale no"),
			gauge("www", "web", age, "warning 26", "critical 50"), gauge("db", "databases", age, "warning 26", "critical 50"),
			gauge("files", "files", age, "warning 26", "critical 50")),
		plain("backup_size", about("Size of the last backup", "bytes", "backup", "--base 1024 -l 0"),
			gauge("www", "web", h.around("bwww", 38*(1<<30), 0.04), "draw AREA"),
			gauge("db", "databases", func(m *moment) float64 { return (212 - 0.24*m.ago) * (1 << 30) }, "draw STACK"),
			gauge("files", "files", h.around("bfiles", 730*(1<<30), 0.03), "draw STACK")),
	}
}

func builds(h *Host) []plugin {
	return []plugin{
		plain("jenkins_queue", about("Builds", "builds", "development", "--base 1000 -l 0"),
			gauge("running", "running", whole(h.follows("running", 0, 3.4)), "draw AREA"),
			gauge("waiting", "waiting", whole(capped(h.follows("waiting", -2, 5), 0, 50)), "draw STACK")),
		plain("ccache", about("Compiler cache", "%", "development", "-l 0 -u 100", "graph_scale no"),
			gauge("hit", "hits", capped(h.around("ccache", 74, 0.16), 0, 100))),
	}
}

func openvpn(h *Host) []plugin {
	users := h.follows("vpn", 1.2, 31)
	return []plugin{
		plain("openvpn", about("OpenVPN users", "users", "network", "--base 1000 -l 0", "graph_scale no"), gauge("users", "users", whole(users))),
		h.network("tun0", 18),
		plain("fw_conntrack", about("Connections through firewall", "Connections", "network", "--base 1000 -l 0"),
			gauge("established", "Established", whole(scaled(users, 46)), "draw AREA"),
			gauge("timewait", "TimeWait", whole(scaled(users, 7)), "draw STACK"),
			gauge("udp", "UDP connections", whole(scaled(users, 11)), "draw STACK"),
			gauge("total", "Total", whole(scaled(users, 64)), "warning 60000", "critical 64000")),
	}
}

func bind(h *Host) []plugin {
	p := plain("bind9_rndc", about("DNS queries", "queries / ${graph_period}", "dns", "--base 1000 -l 0", "graph_total total"))
	for i, kind := range []string{"A", "AAAA", "PTR", "MX", "TXT", "NS"} {
		draw := "draw STACK"
		if i == 0 {
			draw = "draw AREA"
		}
		p.graphs[0].fields = append(p.graphs[0].fields, derive("query_"+kind, kind, h.follows(kind, 3/float64(1+i), 95/float64(1+i*i)), draw))
	}
	return []plugin{p}
}

// printing has toner that runs out, and a plugin that does not work.
func printing(h *Host) []plugin {
	toner := func(period, phase int64) signal {
		return func(m *moment) float64 { return math.Round(100 - 97*saw(m.t, period, phase)) }
	}
	broken := plain("cups_jobs", about("Print jobs", "jobs", "printing", "--base 1000 -l 0"), gauge("jobs", "jobs", constant(math.NaN())))
	broken.broken = "jobs.value lpstat: Connection refused"
	return []plugin{
		plain("printer_toner", about("Toner", "%", "printing", "-l 0 -u 100", "graph_scale no"),
			gauge("black", "black", toner(71*day, 9*day), "colour 000000", "warning 10:", "critical 3:"),
			gauge("cyan", "cyan", toner(131*day, 70*day), "colour 00aacc", "warning 10:", "critical 3:"),
			gauge("magenta", "magenta", toner(149*day, 90*day), "colour cc00aa", "warning 10:", "critical 3:"),
			gauge("yellow", "yellow", toner(140*day, 20*day), "colour ccaa00", "warning 10:", "critical 3:")),
		broken,
	}
}

func apache(h *Host) []plugin {
	return []plugin{
		plain("apache_accesses", about("Apache accesses", "accesses / ${graph_period}", "webserver", "--base 1000 -l 0"),
			derive("accesses80", "port 80", h.follows("accesses", 0.3, 9))),
		plain("apache_processes", about("Apache processes", "processes", "webserver", "--base 1000 -l 0"),
			gauge("busy80", "busy servers 80", whole(h.follows("apbusy", 1, 9)), "draw AREA"),
			gauge("idle80", "idle servers 80", whole(h.follows("apidle", 12, -4)), "draw STACK"),
			gauge("free80", "free slots 80", whole(h.follows("apfree", 137, -5)), "draw STACK")),
		plain("apache_volume", about("Apache volume", "bytes per ${graph_period}", "webserver", "--base 1024 -l 0"),
			derive("volume80", "port 80", h.follows("apvolume", 9e3, 420e3))),
	}
}
