"""pcap-filter expressions that libpcap 1.9 and 1.10 read alike: what tests run beside tcpdump."""

EXPRESSIONS = """
ip
ip6
arp
rarp
tcp
udp
icmp
icmp6
sctp
igmp
not ip
not tcp and not udp
ip or ip6
tcp or udp
port 80
port 53 or port 5353
tcp port 443
udp port 53
src port 443
dst port 22
tcp src port 80
portrange 0-1023
tcp portrange 1000-2000
host 10.35.69.103
src host 10.0.0.1
dst host 192.168.1.7
host 10.35.69.103 and tcp port 443
host 10.0.0.1 or host 192.168.1.7
not host 10.0.0.1
net 10.0.0.0/8
src net 192.168.0.0/16
dst net 224.0.0.0/4
net 192.168.1
ip6 host fe80::5
ip6 net 2001:db8::/32
ip proto 50
ip6 proto 58
proto 6
ip multicast
ip broadcast
ip6 multicast
less 64
greater 500
len > 100
len = 60
len != 60 and len < 1500
tcp[tcpflags] & tcp-syn != 0
tcp[tcpflags] & (tcp-syn|tcp-fin) != 0
tcp[tcpflags] == tcp-ack
tcp[13] & 4 != 0 or icmp
tcp[((tcp[12] & 0xf0) >> 2):4] != 0
ip[0] & 0xf != 5
ip[8] < 10
ip[6:2] & 0x1fff != 0
ip[6:2] & 0x2000 != 0 and ip[9] == 17
ip[2:2] > 576
icmp[icmptype] == icmp-echo
icmp[0] == 8 or icmp[0] == 0
udp[4:2] > 100
udp[8:4] = 0
ether[0] & 1 == 0
ether[12:2] == 0x0800
ether[26:4] == 0x0a234567 or ether[30:4] == 0x0a234567
ether[100] == 0
ether[1000:4] == 0 or ip
not ether[1000:4] == 0
ether[len - 1] != 0
ether[14] * 2 + 1 > 100
ether[14] / 2 = 34
ether[14] % 7 = 6
ether[14:2] ^ 0x4500 = 0
ether host 02:00:00:00:00:ff
ether src 02:00:00:00:00:01
ether multicast
ether broadcast
ether proto 0x86dd
vlan
vlan 5
vlan and ip
vlan and vlan
mpls
pppoes
wlan type mgt
wlan type data
wlan type mgt subtype beacon
wlan addr2 00:11:22:33:44:55
tcp port 80 and (((ip[2:2] - ((ip[0]&0xf)<<2)) - ((tcp[12]&0xf0)>>2)) != 0)
(tcp or udp) and (port 53 or port 443) and not host 8.8.8.8
ip and not (tcp or udp or icmp)
src or dst host 10.35.69.103
src and dst port 53
tcp and tcp[2:2] > 1024 and tcp[0:2] > 1024
ip[12:4] = ip[16:4]
ip[16] >= 224
ip6[6] == 17
1 = 1
1 = 2 or tcp
""".strip().splitlines()
