#!/bin/sh
# What udhcpc calls: says what it was told, and sets it.
case $1 in
  bound | renew)
    env | sed -n 's/^\(ip\|mask\|router\|dns\|domain\|mtu\|staticroutes\|hostname\)=/DHCP_&/p'
    ip addr add "$ip/$mask" dev "$interface" 2>/dev/null
    # shellcheck disable=SC2154,SC2086 # udhcpc's, a list
    set -- $staticroutes
    while [ $# -ge 2 ]; do ip route replace "$1" via "$2" dev "$interface"; shift 2; done
    ;;
esac
exit 0
