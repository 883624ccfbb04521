# Prints what Munin makes of a munin.conf and of what munin-update has polled: hosts, graphs, fields, where borrowed values
# come from, and the levels that munin-limits would judge by. One line for each, words separated by tabs.
use strict;
use warnings;
use Munin::Master::Utils;

my ($conffile) = @ARGV;
munin_readconfig_base($conffile);
my $config = munin_readconfig_part('datafile', 0);

my %limited;
for my $node (@{munin_find_field_for_limits($config, qr/^(critical|warning)/)}) {
    my $service = defined $node->{'graph_title'} ? $node : munin_get_parent($node);
    $limited{"$service"} = 1 if defined $service->{'graph_title'};
}

sub where {
    my ($service, $path) = @_;
    $path =~ s/^[^=]*=//;
    my $node = munin_get_node_partialpath($service, $path);
    return defined $node ? join('/', @{munin_get_node_loc($node)}) : 'nowhere';
}

sub field {
    my ($service, $item) = @_;
    my ($name, $path) = split(/=/, $item, 2);
    my $hidden = $name =~ s/^-//;
    my $node = $service->{$name};
    return unless ref $node or defined $path; # graph_order may name what is not there.
    $node = {'#%#name' => $name, '#%#parent' => $service} unless ref $node;
    my @from;
    push @from, where($service, $path) if defined $path;
    push @from, map { where($service, $_) } split(' ', $node->{'sum'}) if defined $node->{'sum'};
    if (defined $node->{'stack'}) {
        for my $part (split(' ', $node->{'stack'})) {
            my ($alias) = split(/=/, $part);
            print join("\t", 'field', join('/', @{munin_get_node_loc($service)}), $alias, $alias, '', '', where($service, $part)), "\n";
        }
        return;
    }
    my ($warning, $critical) = ('', '');
    if ($limited{"$service"} && !defined $path) {
        $warning = munin_get($node, 'warning', '');
        $critical = munin_get($node, 'critical', '');
    }
    my $label = defined $node->{'label'} ? $node->{'label'} : $name;
    print join("\t", 'field', join('/', @{munin_get_node_loc($service)}), $name, $label, $warning, $critical, join(' ', @from)), "\n";
}

sub walk {
    my ($node) = @_;
    if (defined $node->{'graph_title'}) {
        my $category = munin_get($node, 'graph_category', 'other');
        print join("\t", 'graph', join('/', @{munin_get_node_loc($node)}), $node->{'graph_title'}, lc $category), "\n";
        my %seen;
        for my $item (@{munin_get_field_order($node)}) {
            (my $name = $item) =~ s/^-|=.*//g;
            next if $seen{$name}++;
            field($node, $item);
        }
    }
    for my $key (sort keys %$node) {
        next if $key =~ /^#%#/ or $key eq 'contact' or ref $node->{$key} ne 'HASH';
        walk($node->{$key});
    }
}
walk($config);
