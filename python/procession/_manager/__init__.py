"""The rooms behind `procession.managers`.

wire        what goes over a connection: requests, answers, serializers
holders     the clients of a server, and what they hold there
locks       locks and semaphores that go to the next when their holder ends; what stands in for those of the user
meeting     the condition and the barrier, for which the dead do not count
referents   the objects a server keeps, with their counts
server      accepts connections and carries requests out, a thread for each connection
client      the connections of this process to servers, one for each thread
proxy       BaseProxy and what makes proxy classes
types       the proxy classes of the types that SyncManager offers
memory      SharedMemoryManager and its server
"""
