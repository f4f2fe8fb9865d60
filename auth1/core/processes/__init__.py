"""Worker processes and their tasks.

supervisor  worker processes: started, replaced, stopped
signals     stop signals, blocked until a worker serves
listening   an instance listens once a worker can serve
tasks       background tasks, cancelled until they end
"""
