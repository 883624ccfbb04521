package demo

import (
	"fmt"
	"math"
	"strings"
)

func plain(name string, config []string, fields ...field) plugin {
	return plugin{name: name, graphs: []graph{{name: name, config: config, fields: fields}}}
}

// about are the lines of a graph that nearly all have.
func about(title, label, category, args string, more ...string) []string {
	return append([]string{"graph_title " + title, "graph_vlabel " + label, "graph_category " + category, "graph_args " + args}, more...)
}

func gauge(name, label string, v signal, config ...string) field {
	return field{name: name, config: append([]string{"label " + label}, config...), value: v}
}

// derive is a counter; v is its rate each second.
func derive(name, label string, v signal, config ...string) field {
	return field{name: name, config: append([]string{"label " + label, "type DERIVE", "min 0"}, config...), rate: true, value: v}
}

// standard is what every Linux host has.
func (h *Host) standard() []plugin {
	all := []plugin{
		h.cpu(), h.load(), h.memory(), h.swap(), h.df(), h.inodes(), h.network("eth0", h.spec.mbit), h.networkErrors("eth0"),
		h.processes(), h.forks(), h.interrupts(), h.openFiles(), h.uptime(), h.netstat(), h.diskstats(),
	}
	if !h.spec.noTime {
		all = append(all, h.clock())
	}
	if h.spec.physical {
		all = append(all, h.sensors())
		for _, d := range h.spec.disks {
			all = append(all, h.smart(d))
		}
	}
	return all
}

// busy is the share of its processors that a host uses, from 0 to 1.
func (h *Host) busy() signal {
	full, night := h.spec.busy, h.spec.nightLoad
	s := h.follows("busy", 0.02, full)
	return capped(func(m *moment) float64 { return s(m) + night*m.dusk }, 0.005, 0.985)
}

func (h *Host) cpu() plugin {
	busy, all := h.busy(), float64(100*h.spec.cpus)
	part := func(share float64) signal { return func(m *moment) float64 { return busy(m) * share * all } }
	user, nice := part(0.66), part(0.02)
	if h.spec.deployed {
		user = since(user, h.fleet.story.ago, 1.45)
	}
	system, soft := part(0.2), part(0.05)
	wait := func(m *moment) float64 { return all * (0.002 + h.spec.waits*busy(m) + 0.06*m.dusk) }
	irq, steal := part(0.004), constant(0)
	if !h.spec.physical {
		steal = capped(h.around("steal", 0.6, 1.2), 0, 100)
	}
	others := []signal{user, nice, system, soft, wait, irq, steal}
	idle := func(m *moment) float64 {
		left := all
		for _, s := range others {
			left -= s(m)
		}
		return max(left, 0)
	}
	limits := []string{"draw STACK"}
	return plain("cpu", about("CPU usage", "%", "system", fmt.Sprintf("--base 1000 -r --lower-limit 0 --upper-limit %.0f", all),
		"graph_order system user nice idle iowait irq softirq steal", "graph_scale no", "graph_period second",
		"graph_info How the processors spend their time. 100 % is one of them."),
		derive("system", "system", system, "draw AREA", "info Time spent in the kernel"),
		derive("user", "user", user, append(limits, "info Time spent by programs")...),
		derive("nice", "nice", nice, append(limits, "info Time spent by programs that let others go first")...),
		derive("idle", "idle", idle, append(limits, "info Nothing to do")...),
		derive("iowait", "iowait", wait, append(limits, "info Nothing to do until a disk answers")...),
		derive("irq", "irq", irq, append(limits, "info Interrupts")...),
		derive("softirq", "softirq", soft, append(limits, "info The rest of the work of interrupts")...),
		derive("steal", "steal", steal, append(limits, "info Time that the hypervisor gave to other machines")...))
}

func (h *Host) load() plugin {
	busy, seed := h.busy(), h.seed("load")
	load := func(m *moment) float64 {
		b := busy(m)
		return float64(h.spec.cpus) * (b + 0.9*b*b*b*b) * (1 + 0.12*wander(seed, m.t, 10*minute))
	}
	return plain("load", about("Load average", "load", "system", "--base 1000 -l 0", "graph_scale no",
		"graph_info How many processes ran or waited to run, over five minutes."),
		gauge("load", "load", load, "info Five minute load average",
			fmt.Sprintf("warning %d", 3*h.spec.cpus), fmt.Sprintf("critical %d", 6*h.spec.cpus)))
}

func (h *Host) memory() plugin {
	total := h.spec.gib * (1 << 30)
	part := func(name string, share, spread float64) signal { return h.around(name, share*total, spread) }
	apps := part("apps", h.spec.apps, 0.06)
	if leak := h.spec.leak; leak > 0 {
		steady := apps
		apps = func(m *moment) float64 { return steady(m) + leak*total*saw(m.t, 7*day, 2*day) }
	}
	slab, tables := part("slab", 0.04, 0.1), part("tables", 0.008, 0.15)
	buffers, free := part("buffers", 0.03, 0.2), capped(part("free", 0.06, 0.7), 0.01*total, total)
	cached := func(m *moment) float64 {
		return max(total-apps(m)-slab(m)-tables(m)-buffers(m)-free(m), 0.01*total)
	}
	swapped := capped(part("swapped", 0.006, 0.3), 0, total)
	return plain("memory", about("Memory usage", "Bytes", "system", fmt.Sprintf("--base 1024 -l 0 --upper-limit %.0f", total),
		"graph_order apps page_tables swap_cache slab cached buffers free swap committed active",
		"graph_info What the memory is used for."),
		gauge("apps", "apps", apps, "draw AREA", "info Memory of programs"),
		gauge("page_tables", "page_tables", tables, "draw STACK", "info Maps of virtual to physical memory"),
		gauge("swap_cache", "swap_cache", scaled(swapped, 0.1), "draw STACK", "info Pages that are in memory and in swap"),
		gauge("slab", "slab_cache", slab, "draw STACK", "info Memory of the kernel"),
		gauge("cached", "cache", cached, "draw STACK", "info Parked data of files"),
		gauge("buffers", "buffers", buffers, "draw STACK", "info Parked blocks of disks"),
		gauge("free", "unused", free, "draw STACK", "info Wasted memory"),
		gauge("swap", "swap", swapped, "draw STACK", "info Swap space in use"),
		gauge("committed", "committed", scaled(apps, 1.6), "draw LINE2", "info What programs have asked for"),
		gauge("active", "active", scaled(cached, 0.6), "draw LINE2", "info Used not long ago"))
}

func (h *Host) swap() plugin {
	in := h.seldom("swap_in", 0.01, 4)
	return plain("swap", about("Swap in/out", "pages per ${graph_period} in (-) / out (+)", "system", "-l 0 --base 1000"),
		derive("swap_in", "swap", in, "graph no", "max 100000"),
		derive("swap_out", "swap", h.seldom("swap_out", 0.012, 6), "negative swap_in", "max 100000"))
}

func (h *Host) df() plugin {
	p := plain("df", about("Disk usage in percent", "%", "disk", "--upper-limit 100 -l 0", "graph_scale no"))
	for i := range h.spec.mounts {
		p.graphs[0].fields = append(p.graphs[0].fields, h.spec.mounts[i].field(h))
	}
	return p
}

func (h *Host) inodes() plugin {
	p := plain("df_inode", about("Inode usage in percent", "%", "disk", "--upper-limit 100 -l 0", "graph_scale no"))
	for i := range h.spec.mounts {
		m := &h.spec.mounts[i]
		share := 3 + 20*(1+random(h.seed("inode"), int64(i)))
		f := gauge(m.fieldName(), m.path, h.around("inode"+m.path, share, 0.02), "warning 92", "critical 98")
		p.graphs[0].fields = append(p.graphs[0].fields, f)
	}
	return p
}

func (h *Host) network(name string, mbit float64) plugin {
	in, out := h.follows(name+"in", mbit*2e3, mbit*h.spec.receives*125e3), h.follows(name+"out", mbit*2e3, mbit*125e3)
	night := h.spec.nightNet * 125e3
	return plain("if_"+name, about(name+" traffic", "bits in (-) / out (+) per ${graph_period}", "network", "--base 1000", "graph_order down up",
		"graph_info Traffic of the "+name+" network interface."),
		derive("down", "received", func(m *moment) float64 { return in(m) + night*m.dusk }, "graph no", "cdef down,8,*", "max 1000000000"),
		derive("up", "bps", func(m *moment) float64 { return out(m) + night*0.02*m.dusk }, "negative down", "cdef up,8,*", "max 1000000000",
			"info Traffic sent (+) and received (-)"))
}

func (h *Host) networkErrors(name string) plugin {
	return plain("if_err_"+name, about(name+" errors", "packets in (-) / out (+) per ${graph_period}", "network", "--base 1000", "graph_order rcvd trans"),
		derive("rcvd", "errors", h.seldom("rcvd", 0.004, 0.2), "graph no", "warning 1"),
		derive("trans", "errors", h.seldom("trans", 0.001, 0.1), "negative rcvd", "warning 1"))
}

func (h *Host) processes() plugin {
	n := float64(90 + 25*h.spec.cpus)
	return plain("processes", about("Processes", "Number of processes", "processes", "--base 1000 -l 0",
		"graph_order sleeping idle stopped zombie dead runnable uninterruptible processes"),
		gauge("sleeping", "sleeping", whole(h.follows("sleeping", n, n/4)), "draw AREA", "colour 0022ff"),
		gauge("idle", "idle", constant(float64(30+10*h.spec.cpus)), "draw STACK", "colour 4169e1"),
		gauge("stopped", "stopped", constant(0), "draw STACK", "colour cc0000"),
		gauge("zombie", "zombie", whole(h.seldom("zombie", 0.02, 2)), "draw STACK", "colour 990000"),
		gauge("runnable", "runnable", whole(h.follows("runnable", 1, float64(h.spec.cpus)*h.spec.busy)), "draw STACK", "colour 22ff22"),
		gauge("uninterruptible", "uninterruptible", whole(func(m *moment) float64 { return 3 * m.dusk }), "draw STACK", "colour ffa500"),
		gauge("processes", "total", whole(h.follows("total", 1.35*n, n/4)), "draw LINE1", "colour c0c0c0"))
}

func (h *Host) forks() plugin {
	return plain("forks", about("Fork rate", "forks / ${graph_period}", "processes", "--base 1000 -l 0"),
		derive("forks", "forks", h.follows("forks", 1.2, 14), "max 100000"))
}

func (h *Host) interrupts() plugin {
	perCPU := float64(h.spec.cpus)
	return plain("interrupts", about("Interrupts and context switches", "interrupts & ctx switches / ${graph_period}", "system", "--base 1000 -l 0"),
		derive("intr", "interrupts", h.follows("intr", 180*perCPU, 2600*perCPU)),
		derive("ctx", "context switches", h.follows("ctx", 320*perCPU, 5200*perCPU)))
}

func (h *Host) openFiles() plugin {
	return plain("open_files", about("File table usage", "number of open files", "system", "--base 1000 -l 0"),
		gauge("used", "open files", whole(h.follows("files", 1400, 2800)), "warning 600000", "critical 640000"),
		gauge("max", "max open files", constant(655360)))
}

func (h *Host) uptime() plugin {
	up := func(m *moment) float64 {
		since := h.booted
		for since > m.t {
			since -= 97 * day
		}
		return math.Round(float64(m.t-since)/864) / 100
	}
	return plain("uptime", about("Uptime", "uptime in days", "system", "--base 1000 -l 0", "graph_scale no"), gauge("uptime", "uptime", up, "draw AREA"))
}

func (h *Host) netstat() plugin {
	per := 4 + 60*h.spec.mbit/200
	return plain("netstat", about("Netstat", "active connections", "network", "--base 1000", "graph_period second"),
		derive("active", "active", h.follows("active", 0.4, per), "max 50000"),
		derive("passive", "passive", h.follows("passive", 0.3, per*1.6), "max 50000"),
		derive("failed", "failed", h.follows("failed", 0.02, 0.05*per), "max 50000"),
		derive("resets", "resets", h.follows("resets", 0.02, 0.03*per), "max 50000"),
		gauge("established", "established", whole(h.follows("established", 8, per*6))))
}

// clock is the offset to the time servers.
func (h *Host) clock() plugin {
	offset := h.around("offset", 0.00004, 6)
	if h.spec.clockLost > 0 {
		offset = lost(offset, h.spec.clockLost)
	}
	return plain("ntp_offset", about("NTP offset", "s", "time", "--base 1000 --vertical-label seconds"),
		gauge("offset", "offset", offset, "warning -0.5:0.5", "critical -1:1", "info How far this clock is from those of the time servers"))
}

// diskstats has graphs of all disks and of each.
func (h *Host) diskstats() plugin {
	p := plugin{name: "diskstats", graphs: []graph{
		{name: "diskstats_iops", config: about("Disk IOs per device", "IOs/${graph_period} read (-) / write (+)", "disk", "--base 1000")},
		{name: "diskstats_throughput", config: about("Throughput per device", "Bytes/${graph_period} read (-) / write (+)", "disk", "--base 1024")},
		{name: "diskstats_utilization", config: about("Utilization per device", "% busy", "disk", "--base 1000 -l 0 --upper-limit 100", "graph_scale no")},
		{name: "diskstats_latency", config: about("Latency per device", "Average IO wait (seconds)", "disk", "--base 1000 --logarithmic")},
	}}
	for i, d := range h.spec.disks {
		iops := h.spec.iops / float64(1+i)
		reads, writes := h.follows(d+"r", 0.3, iops), h.follows(d+"w", 1, iops*0.7)
		night := h.spec.nightIO
		rd := func(m *moment) float64 { return reads(m) + night*m.dusk }
		wr := func(m *moment) float64 { return writes(m) + 0.4*night*m.dusk }
		busy := capped(func(m *moment) float64 { return (rd(m) + wr(m)) / h.spec.spindle * 100 }, 0.1, 99.5)
		wait := func(m *moment) float64 { b := busy(m) / 100; return 0.0006 + 0.004*b + 0.05*b*b*b*b }
		if d == h.spec.failedDisk {
			rd, wr, busy, wait = lost(rd, h.spec.failed), lost(wr, h.spec.failed), lost(busy, h.spec.failed), lost(wait, h.spec.failed)
		}
		size := 14e3 + 9e3*float64(i)
		add := func(at int, fields ...field) { p.graphs[at].fields = append(p.graphs[at].fields, fields...) }
		add(0, gauge(d+"_rdio", d, rd, "graph no"), gauge(d+"_wrio", d, wr, "negative "+d+"_rdio"))
		add(1, gauge(d+"_rdbytes", d, scaled(rd, size), "graph no"), gauge(d+"_wrbytes", d, scaled(wr, size), "negative "+d+"_rdbytes"))
		add(2, gauge(d+"_util", d, busy, "min 0", "max 100", "info Share of the time in which the device has something to do"))
		add(3, gauge(d+"_avgwait", d, wait, "info Average wait of a request"))
		p.graphs = append(p.graphs, graph{
			name:   "diskstats_iops." + d,
			config: about("IOs for /dev/"+d, "Units read (-) / write (+)", "disk", "--base 1000"),
			fields: []field{gauge("rdio", "IO/sec", rd, "graph no"), gauge("wrio", "IO/sec", wr, "negative rdio")},
		})
	}
	return p
}

// sensors are the temperatures: a warm room in summer, and on hot days a warmer one.
func (h *Host) sensors() plugin {
	p := plain("sensors_temp", about("Temperatures", "degrees Celsius", "sensors", "--base 1000 -l 0", "graph_scale no"))
	busy := h.busy()
	for i, name := range []string{"Package", "Board"} {
		seed := h.seed(name)
		base := 44 - 10*float64(i)
		p.graphs[0].fields = append(p.graphs[0].fields, gauge(fmt.Sprintf("temp%d", i+1), name, func(m *moment) float64 {
			season := math.Sin(float64(m.t%(365*day))/(365*day)*2*math.Pi - 1.9)
			noon := math.Sin(float64(m.t%day)/day*2*math.Pi - 2)
			return math.Round(10*(base+3*season+1.2*noon+14*busy(m)/float64(1+i)+wander(seed, m.t, 2*hour))) / 10
		}, "warning 70", "critical 85"))
	}
	return p
}

func (h *Host) smart(d string) plugin {
	moved, heat := constant(0), h.around("heat"+d, 36, 0.06)
	if d == h.spec.failedDisk {
		seed, failed := h.seed("smart"+d), h.spec.failed
		moved = func(m *moment) float64 {
			if m.ago > failed+40 {
				return 0
			}
			return math.Floor((failed + 40 - m.ago) * 1.7 * (1 + 0.1*random(seed, m.t/day)))
		}
		moved, heat = lost(moved, failed), lost(heat, failed)
	}
	return plain("smart_"+d, about("S.M.A.R.T. values for drive "+d, "Attribute S.M.A.R.T value", "disk", "--base 1000 --lower-limit 0", "graph_scale no"),
		gauge("Reallocated_Sector_Ct", "Reallocated Sector Ct", moved, "warning 20", "info Sectors that were replaced by spare ones"),
		gauge("Temperature_Celsius", "Temperature Celsius", whole(heat), "warning 50", "critical 60"),
		gauge("Power_On_Hours", "Power On Hours", func(m *moment) float64 { return 19000 + float64(h.booted%5000) - m.ago*24 }, "graph no"))
}

// mount is a file system.
type mount struct {
	device, path string
	now          float64 // percent today
	perDay       float64 // grows by so much
	knee, before float64 // more than so many days ago it grew by that much a day
	cleaned      float64 // so many days ago …
	freed        float64 // … so much was deleted
	weekly       float64 // old logs of so much are deleted each week
}

func (f *mount) fieldName() string {
	return "_dev_" + strings.NewReplacer("/", "_", "-", "_").Replace(f.device)
}

func (f *mount) used(h *Host) signal {
	seed := h.seed("df" + f.path)
	return func(m *moment) float64 {
		v := f.now - f.perDay*m.ago
		if f.knee > 0 && m.ago > f.knee {
			v = f.now - f.perDay*f.knee - f.before*(m.ago-f.knee)
		}
		if f.freed > 0 && m.ago > f.cleaned {
			v += f.freed
		}
		v += f.weekly * (saw(m.t, 7*day, int64(seed%(7*day))) - 0.5)
		v += f.perDay*0.8*wander(seed, m.t, day) + 0.05*wander(seed+1, m.t, 6*hour)
		return min(max(math.Round(v*100)/100, 1.5), 99.9)
	}
}

func (f *mount) field(h *Host) field {
	return gauge(f.fieldName(), f.path, f.used(h), "warning 92", "critical 98", "info "+f.path+" (ext4) -> /dev/"+f.device)
}
