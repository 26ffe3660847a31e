# moves: Job
# %%
import time
class Job:
    last = None
    seen = []
    def run(self):
        self.at = Job.last = time.time()
        Job.seen.append(self)
# %%
# impure
job = Job()
job.run()
# %%
print(Job.last == job.at, Job.seen[0] is job, job.at, type(job) is Job)
