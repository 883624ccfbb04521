package uitest

// profile says how a made-up field moves.
type profile struct {
	level, swing, noise, spike float64
	growth                     float64 // a day
}

func profiles() map[string]profile {
	const mebi, gibi = 1 << 20, 1 << 30
	return map[string]profile{
		"system":     {level: 22, swing: 0.6, noise: 0.3, spike: 0.8},
		"user":       {level: 120, swing: 0.8, noise: 0.4, spike: 0.5},
		"nice":       {level: 4, swing: 0.4, noise: 1},
		"idle":       {level: 210, swing: 0.1, noise: 0.1},
		"iowait":     {level: 12, swing: 0.4, noise: 1, spike: 4},
		"steal":      {level: 1, noise: 1},
		"load":       {level: 1.4, swing: 0.7, noise: 0.5, spike: 1.5},
		"apps":       {level: 3.1 * gibi, swing: 0.2, noise: 0.04},
		"buffers":    {level: 300 * mebi, swing: 0.1, noise: 0.02},
		"cached":     {level: 2.6 * gibi, swing: 0.1, noise: 0.02},
		"free":       {level: 1.2 * gibi, swing: 0.3, noise: 0.1},
		"swap":       {level: 90 * mebi, noise: 0.02},
		"swap_in":    {level: 3, swing: 1, noise: 1, spike: 20},
		"swap_out":   {level: 5, swing: 1, noise: 1, spike: 20},
		"up":         {level: 9e6, swing: 0.8, noise: 0.4, spike: 1},
		"down":       {level: 3e6, swing: 0.8, noise: 0.5, spike: 2},
		"_dev_sda1":  {level: 92.6, noise: 0.002, growth: 0.11},
		"_dev_sdb1":  {level: 98.4, noise: 0.002, growth: 0.21},
		"_run":       {level: 3, noise: 0.1},
		"rdio":       {level: 35, swing: 0.7, noise: 1, spike: 3},
		"wrio":       {level: 80, swing: 0.7, noise: 1, spike: 3},
		"sda":        {level: 90, swing: 0.7, noise: 1, spike: 3},
		"sdb":        {level: 20, swing: 0.7, noise: 1, spike: 3},
		"temp1":      {level: 48, swing: 0.15, noise: 0.05},
		"temp2":      {level: 61, swing: 0.1, noise: 0.03},
		"processes":  {level: 214, swing: 0.1, noise: 0.05},
		"uptime":     {level: 81, noise: 0},
		"hits":       {level: 1800, swing: 0.9, noise: 0.3, spike: 1},
		"loadtime":   {level: 0.34, swing: 0.3, noise: 0.5, spike: 4},
		"queries":    {level: 640, swing: 0.8, noise: 0.3},
		"slow":       {level: 0.4, swing: 0.8, noise: 1.2, spike: 10},
		"apache_vol": {level: 4e6, swing: 0.7, noise: 0.4},
	}
}

type config struct{ plugin, text string }

// configs are what plugins of an ordinary machine say, in Munin's words.
func configs() []config {
	return []config{
		{"cpu", `graph_title CPU usage
graph_order system user nice idle iowait steal
graph_args --base 1000 -r --lower-limit 0 --upper-limit 400
graph_vlabel %
graph_scale no
graph_info This graph shows how CPU time is spent.
graph_category system
graph_period second
system.label system
system.draw AREA
system.min 0
system.type DERIVE
system.info CPU time spent by the kernel in system activities
user.label user
user.draw STACK
user.min 0
user.type DERIVE
user.warning 320
user.info CPU time spent by normal programs and daemons
nice.label nice
nice.draw STACK
nice.type DERIVE
idle.label idle
idle.draw STACK
idle.type DERIVE
iowait.label iowait
iowait.draw STACK
iowait.type DERIVE
steal.label steal
steal.draw STACK
steal.type DERIVE
`},
		{"load", `graph_title Load average
graph_args --base 1000 -l 0
graph_vlabel load
graph_scale no
graph_category system
graph_info The load average of the machine describes how many processes are in the run-queue (scheduled to run "immediately").
load.label load
load.warning 4
load.critical 8
load.info 5 minute load average
`},
		{"memory", `graph_title Memory usage
graph_args --base 1024 -l 0 --upper-limit 8325591040
graph_vlabel Bytes
graph_category system
graph_order apps buffers cached free swap
graph_info This graph shows what the machine uses memory for.
apps.label apps
apps.draw AREA
apps.info Memory used by user-space applications.
buffers.label buffers
buffers.draw STACK
cached.label cache
cached.draw STACK
free.label unused
free.draw STACK
swap.label swap
swap.draw STACK
`},
		{"swap", `graph_title Swap in/out
graph_args -l 0 --base 1000
graph_vlabel pages per ${graph_period} in (-) / out (+)
graph_category system
swap_in.label swap
swap_in.type DERIVE
swap_in.graph no
swap_out.label swap
swap_out.type DERIVE
swap_out.negative swap_in
`},
		{"uptime", `graph_title Uptime
graph_args --base 1000 -l 0
graph_scale no
graph_vlabel uptime in days
graph_category system
uptime.label uptime
uptime.draw AREA
`},
		{"processes", `graph_title Processes
graph_args --base 1000 -l 0
graph_vlabel Number of processes
graph_category processes
processes.label processes
processes.draw LINE2
`},
		{"df", `graph_title Disk usage in percent
graph_args --upper-limit 100 -l 0
graph_vlabel %
graph_scale no
graph_category disk
_dev_sda1.label /
_dev_sda1.warning 92
_dev_sda1.critical 98
_dev_sdb1.label /srv
_dev_sdb1.warning 92
_dev_sdb1.critical 98
_run.label /run
_run.warning 92
_run.critical 98
`},
		{"diskstats", `multigraph diskstats_iops
graph_title Disk IOs per device
graph_args --base 1000
graph_vlabel IOs/${graph_period} read (-) / write (+)
graph_category disk
sda.label sda
sda.type DERIVE
sdb.label sdb
sdb.type DERIVE
multigraph diskstats_iops.sda
graph_title IOs for /dev/sda
graph_args --base 1000
graph_vlabel IOs/${graph_period} read (-) / write (+)
graph_category disk
rdio.label IO/sec
rdio.type DERIVE
rdio.graph no
wrio.label IO/sec
wrio.type DERIVE
wrio.negative rdio
multigraph diskstats_iops.sdb
graph_title IOs for /dev/sdb
graph_args --base 1000
graph_vlabel IOs/${graph_period} read (-) / write (+)
graph_category disk
rdio.label IO/sec
rdio.type DERIVE
rdio.graph no
wrio.label IO/sec
wrio.type DERIVE
wrio.negative rdio
`},
		{"if_eth0", `graph_title eth0 traffic
graph_order down up
graph_args --base 1000
graph_vlabel bits in (-) / out (+) per ${graph_period}
graph_category network
graph_info This graph shows the traffic of the <b>eth0</b> network interface.
down.label received
down.type DERIVE
down.graph no
down.cdef down,8,*
down.min 0
up.label bps
up.type DERIVE
up.negative down
up.cdef up,8,*
up.min 0
`},
		{"sensors_temp", `graph_title Temperatures
graph_args --base 1000 -l 0
graph_vlabel degrees Celsius
graph_scale no
graph_category sensors
temp1.label CPU
temp1.warning 70
temp1.critical 90
temp2.label board
temp2.warning 70
temp2.critical 80
`},
		{"nginx_request", `graph_title Requests and response time
graph_args --base 1000
graph_vlabel per ${graph_period}
graph_period minute
graph_category webserver
hits.label requests
hits.type DERIVE
hits.draw AREA
slow.label slow requests
slow.type DERIVE
slow.draw LINE2
slow.colour C00000
`},
		{"http_loadtime", `graph_title HTTP load time of a page
graph_args --base 1000 -l 0
graph_vlabel seconds
graph_category webserver
loadtime.label start page
`},
	}
}
