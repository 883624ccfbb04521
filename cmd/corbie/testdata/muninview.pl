# Prints what Munin makes of a munin.conf and of what munin-update has polled: hosts, graphs, fields, where borrowed values
# come from, the levels that munin-limits would judge by, and whom it would tell. One line for each, words separated by tabs.
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

# Whom munin-limits tells of a graph: those that contacts names, or all that have a command.
sub contacts {
    my ($node) = @_;
    my @all = grep { defined $config->{'contact'}{$_}{'command'} } grep { !/^#%#/ } keys %{$config->{'contact'}};
    my %named = map { $_ => 1 } split(/\s+/, munin_get($node, 'contacts', join(' ', @all)));
    return join(' ', sort grep { $named{$_} } @all);
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
            print join("\t", 'field', join('/', @{munin_get_node_loc($service)}), $alias, $alias, '', '', where($service, $part), ''), "\n";
        }
        return;
    }
    my ($warning, $critical, $patience) = ('', '', '');
    if ($limited{"$service"} && !defined $path) {
        $warning = munin_get($node, 'warning', '');
        $critical = munin_get($node, 'critical', '');
        $patience = munin_get($node, 'unknown_limit', '') if $warning ne '' or $critical ne '';
    }
    my $label = defined $node->{'label'} ? $node->{'label'} : $name;
    print join("\t", 'field', join('/', @{munin_get_node_loc($service)}), $name, $label, $warning, $critical, join(' ', @from), $patience), "\n";
}

sub walk {
    my ($node) = @_;
    if (defined $node->{'graph_title'}) {
        my $category = munin_get($node, 'graph_category', 'other');
        print join("\t", 'graph', join('/', @{munin_get_node_loc($node)}), $node->{'graph_title'}, lc $category,
            munin_get($node, 'graph_args', ''), contacts($node)), "\n";
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
